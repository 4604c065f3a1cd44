"""`python -m geoset`, which is how torchrun starts it: `torchrun ... -m geoset pretrain ...`."""

from geoset.cli import main

main()
