"""What the commands share of their command lines: config flags, image sizes."""
