"""What a configuration may hold: files, values, and keys that go together."""
