"""What only the stage `ingest` needs beside `speech`."""
