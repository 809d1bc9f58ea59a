"""The Kedro datasets that `conf/base/catalog.yml` names."""
