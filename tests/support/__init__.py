"""What the tests share: real engines, real databases, and waiting without sleeping."""
