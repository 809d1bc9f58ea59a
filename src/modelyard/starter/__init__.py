"""What ``kedro new-project`` copies: a small project that works, on the same shelves as in the repository."""
