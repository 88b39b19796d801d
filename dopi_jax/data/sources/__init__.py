"""The places that frames come from, a file each."""
