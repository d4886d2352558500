"""Drives a spool with a processor: claim, process, retire; what errors mean; when to wait; what was delivered."""
