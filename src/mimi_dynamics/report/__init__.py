"""The page a person looks at: one file with figures and sounds inside, no scripts, no network."""
