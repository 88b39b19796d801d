"""What a prediction is written as: files for programs, pictures and a page for people."""
