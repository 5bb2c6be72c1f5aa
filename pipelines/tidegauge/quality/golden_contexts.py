"""The golden set's answers over a context, each with what would make it unsupported.

Written for this project; places, people and firms are invented.
"""

# ruff: noqa: E501 - a table

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["GROUNDED", "GroundedText"]


class GroundedText(NamedTuple):
    """A context with a question, an answer that it supports, and changes that it does not.

    Attributes:
        context: The context.
        question: The question.
        good: The answer; it holds ``number`` and ``name``.
        number: A number of the answer, and a wrong one.
        name: A name of the answer, and a wrong one.
        added: A sentence that the context does not support.
    """

    context: str
    question: str
    good: str
    number: tuple[str, str]
    name: tuple[str, str]
    added: str


# fmt: off
_ROWS: Final = (
    ("The Harlow line runs from Minster to Ketford. It opened in 1874, has 14 stations, and the journey takes 52 minutes.",
     "How long is the journey on the Harlow line?", "From Minster to Ketford it takes 52 minutes.",
     "52", "25", "Ketford", "Ashby", "Bicycles travel free of charge."),
    ("Returns are accepted within 30 days at the depot in Calder. The buyer pays for postage. Opened software cannot be returned.",
     "By when can I return a lamp?", "You can return it within 30 days, at the depot in Calder.",
     "30", "90", "Calder", "Wexley", "The shop pays for postage."),
    ("Dr Ines Moro heads the clinic's eye department. It has 18 beds. Visits are possible from 14:00 to 17:00.",
     "Who heads the eye department, and how large is it?", "Dr Ines Moro heads it, and it has 18 beds.",
     "18", "80", "Moro", "Becker", "She has led it since its foundation."),
    ("The Orlo 3 weighs 640 grams and runs for 11 hours. It charges over USB-C. The maker, Tessel, gives two years of warranty.",
     "How long does the Orlo 3 run?", "Tessel's Orlo 3 runs for 11 hours.",
     "11", "17", "Tessel", "Nordvik", "It can be charged without a cable, too."),
    ("The council of Dunmere voted 9 to 4 for the new bridge. Work begins in April and costs 2.3 million. Mayor Adeyemi voted against it.",
     "How did the vote on the bridge end?", "Dunmere's council voted 9 to 4 for it.",
     "9 to 4", "7 to 6", "Dunmere", "Larkhill", "The bridge will be finished within a year."),
    ("Mount Sarn is 2,318 metres high. Lena Voss climbed it first, in 1891, from the north. The hut below the top sleeps 40.",
     "Who climbed Mount Sarn first, and when?", "Lena Voss climbed it first, in 1891.",
     "1891", "1918", "Voss", "Keller", "She had two guides with her."),
    ("The library in Pell Street is open until 20:00 on weekdays. A card costs 12 euros a year. Students pay nothing.",
     "What does a card of the library cost?", "A card of the library in Pell Street costs 12 euros a year.",
     "12", "25", "Pell Street", "Mill Lane", "Pensioners pay half of it."),
    ("Version 4.2 of Brisk mends the crash on start. Version 4.3, due in June, drops support for 32-bit systems.",
     "Which version of Brisk mends the crash?", "Version 4.2 of Brisk mends the crash on start.",
     "4.2", "4.6", "Brisk", "Mango", "It also halves the memory that it takes."),
    ("The parcel 7731 left Toller on Monday and reached Vance on Wednesday. It weighs 3 kilograms. It has not been handed over yet.",
     "Where is my parcel 7731?", "Parcel 7731 reached Vance on Wednesday.",
     "7731", "7713", "Vance", "Orrin", "It will be handed over this afternoon."),
    ("Polo Ferrante wrote the opera in 1822. It has four acts. The first night in Lucera was a failure; the second one was cheered.",
     "When did Ferrante write the opera?", "Ferrante wrote it in 1822.",
     "1822", "1842", "Ferrante", "Bellori", "He dedicated it to his sister."),
    ("The soup needs 400 grams of lentils, two carrots and a litre of water. Cook it for 35 minutes. Chef Amara adds lemon at the end.",
     "How long does Chef Amara's soup cook?", "Chef Amara's soup cooks for 35 minutes.",
     "35", "53", "Amara", "Luisa", "It has to rest over night."),
    ("Halden Bank pays 2.1 percent on savings up to 50,000. Above that it pays 0.4 percent. Interest is paid in December.",
     "What interest does Halden Bank pay on 10,000?", "Halden Bank pays 2.1 percent on it.",
     "2.1", "3.1", "Halden", "Corvin", "The first year brings a bonus."),
    ("Storm Rhea reached the coast of Belmar at 3:20. 1,400 homes lost power. By noon half of them had it back.",
     "How many homes lost power in Belmar?", "In Belmar 1,400 homes lost power.",
     "1,400", "4,100", "Belmar", "Sandow", "Nobody was hurt."),
    ("The museum at Wick shows 260 clocks. The oldest was made by Jost Amman in 1577. Photographs are forbidden.",
     "Who made the museum's oldest clock?", "Jost Amman made the oldest clock, in 1577.",
     "1577", "1755", "Amman", "Hirsch", "It still runs today."),
    ("The plan Solo costs 9 a month and has one seat. The plan Crew costs 29 and has five. Both can be ended at any time.",
     "What does the plan Crew cost?", "The plan Crew costs 29 a month.",
     "29", "49", "Crew", "Solo Max", "The first month is free."),
    ("River Ister has flooded three times since 1950, last in 2013. The wall at Gramm is 6 metres high now; it was 4.",
     "How high is the wall at Gramm?", "The wall at Gramm is 6 metres high.",
     "6", "8", "Gramm", "Tolna", "It is to be raised again soon."),
    ("Take Zelvane twice a day, 20 milligrams each time, after a meal. Do not take it with grapefruit. It may make you tired.",
     "How much Zelvane do I take?", "Take 20 milligrams of Zelvane, twice a day.",
     "20", "200", "Zelvane", "Zolmane", "Children take half as much."),
    ("Team Ravens beat Team Otters 3 to 1 in Norfold. Ito scored twice. 8,200 people watched.",
     "How did the Ravens play?", "The Ravens beat the Otters 3 to 1.",
     "3 to 1", "5 to 2", "Otters", "Badgers", "It was their tenth win in a row."),
    ("The survey asked 1,050 adults in Kestria. 61 percent want longer opening hours. Firm Delphin made it in March.",
     "What share wants longer opening hours?", "In Kestria 61 percent want longer opening hours.",
     "61", "81", "Kestria", "Maldor", "Young people want them most."),
    ("Flat 12 has three rooms and 74 square metres. The rent is 980 with heating. The house at Linden Road has no lift.",
     "How large is flat 12?", "The flat at Linden Road has 74 square metres.",
     "74", "47", "Linden Road", "Castle Road", "It has a balcony to the south."),
    ("The telescope on Isla Mera has a mirror of 8.4 metres. It saw first light in 2019. Professor Okoye leads it.",
     "How large is the telescope's mirror?", "The mirror of the telescope on Isla Mera has 8.4 metres.",
     "8.4", "4.8", "Isla Mera", "Cabo Sol", "It is the largest one in the south."),
    ("Error E17 means that the filter is blocked. Rinse it and start the washer again. If E17 comes back, call Garon, the maker.",
     "What does error E17 mean?", "E17 means that the filter is blocked; Garon says to rinse it.",
     "E17", "E71", "Garon", "Mirel", "The pump has to be replaced as well."),
    ("The course has 8 evenings and costs 120. It begins on 4 October in Fenwick. Teacher Salma Reyes speaks Spanish and English.",
     "When does the course in Fenwick begin?", "The course in Fenwick begins on 4 October.",
     "4 October", "14 October", "Fenwick", "Hartley", "Books are included in the price."),
    ("The tower at Croy was struck by lightning in 1703 and rebuilt by Abbot Hugo. It is 48 metres high, and closed in winter.",
     "Who rebuilt the tower at Croy?", "Abbot Hugo rebuilt it after the lightning of 1703.",
     "1703", "1730", "Hugo", "Anselm", "He paid for it from his own purse."),
)
# fmt: on

GROUNDED: Final = tuple(
    GroundedText(context, question, good, (number, other_number), (name, other_name), added)
    for context, question, good, number, other_number, name, other_name, added in _ROWS
)
