"""HumanML3D's evaluator (Guo et al. 2022): networks that embed texts and motions, and what they see."""
