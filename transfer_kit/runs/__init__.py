"""What stands in run folders: found again, compared, and cleared of what nobody needs any more."""
