"""Parts of the pictures that `zsk.visualization` draws: fonts, names on regions, the legend."""
