"""Other tools on the user's own faces: installed in environments of their own, asked, compared with our runs."""
