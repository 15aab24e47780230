"""Steps that several verbs share, or that would hide the recipe of one."""
