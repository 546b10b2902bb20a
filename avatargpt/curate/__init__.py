"""Films -> a data set of motion, faces and text on three levels; `avatargpt.curate.pipeline` orders the stages."""
