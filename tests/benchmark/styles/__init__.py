"""Ways in which models write their answers, and graders that must find what was meant in each of them."""
