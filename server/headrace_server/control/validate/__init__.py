"""What a caller may give: every bad field is named, all of them at once."""
