"""Training HumanML3D's evaluator anew: its movement encoder, then the common space of texts and motions."""
