"""What starts jollyae and keeps it running: systemd, launchd, cron. Each module writes its files from a Job."""
