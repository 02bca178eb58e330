"""What every request passes on its way in, one file each."""
