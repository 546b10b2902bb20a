"""Does every suite punish bad motion? Good motion, made worse in known ways, before each suite's own judges."""
