// The order of what the manual's search finds: Sphinx's own scores, but tasks before lists of everything.
const ORDER = [["howto/", 4], ["start/", 4], ["reference/generated/changelog", -4], ["reference/generated/groups", -2]];
var Scorer = {
  score: ([docname, , , , score]) => score + ORDER.reduce((sum, [start, more]) => sum + (docname.startsWith(start) ? more : 0), 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
