"""Learning curves on real rows: what one pool of them says about other sizes, penalties and widths."""
