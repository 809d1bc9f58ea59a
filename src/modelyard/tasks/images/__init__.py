"""What projects that learn from pictures share: decoding, measurements, augmentation, networks, requests."""
