"""`python -m vmc_cli` is `vmc`."""

from vmc_cli.app import main

raise SystemExit(main())
