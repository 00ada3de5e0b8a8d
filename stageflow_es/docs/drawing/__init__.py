"""Pipelines drawn: from a definition to a picture, to places, to SVG or to text. Pure: what is drawn twice is the same.

picture      a definition as boxes and links, with the words on them; `sheet` lays it out
rule_text    a JSON Logic rule in the words of a formula

layout       places for boxes and routes for links, in layers from top to bottom (Sugiyama's method); in it:
ranks        which layer, cycles turned round for the while
order        the order within a layer, with few crossings
columns      the horizontal place, straight where it can be (Brandes and Köpf)
routes       the ways between, as curves
geometry     what goes into a layout and what comes out

svg          a picture as SVG, on its own or inside a page
outline      a picture as indented text; `joins`: where ways that part come together again
"""
