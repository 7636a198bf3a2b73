"""The commands of the `tinycats` program, a file each."""
