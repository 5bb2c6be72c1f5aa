"""Rewords requests, for benchmarks of a diffuse change of the traffic.

A rewording does not change what is asked for, only how: politer, with typing errors, in capitals,
or in another language, word for word from a small dictionary (words that it lacks stay as they are,
as with people who mix two languages).
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import numpy as np

__all__ = ["MANNERS", "Manner", "reword"]

Manner: TypeAlias = Literal["polite", "typos", "capitals", "german"]
MANNERS: tuple[Manner, ...] = ("polite", "typos", "capitals", "german")

_CHARACTERS_A_SLIP = 12
_OPENINGS = (
    "hello, could you please help me with this:",
    "good morning! would you kindly tell me:",
)
_CLOSINGS = ("thank you so much!", "many thanks in advance.")
_DICTIONARY = """
i:ich you:du we:wir they:sie he:er she:sie it:es me:mir my:mein your:dein our:unser
them:ihnen us:uns the:die a:eine an:eine this:dieses that:das these:diese those:jene
what:was what's:was_ist whats:was_ist who:wer where:wo when:wann why:warum how:wie
which:welche is:ist are:sind am:bin was:war were:waren be:sein been:gewesen i'm:ich_bin
i've:ich_habe i'd:ich_würde i'll:ich_werde it's:es_ist don't:nicht can't:kann_nicht
do:tun does:tut did:tat have:habe has:hat had:hatte can:kann could:könnte will:wird
would:würde should:sollte must:muss may:darf need:brauche want:will wanna:will like:mag
know:weiß think:denke tell:sage say:sage said:gesagt ask:frage give:gib get:bekomme
got:bekam take:nimm make:mache made:gemacht go:gehe going:gehend find:finde see:sehe
look:schaue looking:suche show:zeige help:hilf let:lass put:setze set:stelle use:benutze
used:benutzt using:benutzend pay:zahle paid:bezahlt buy:kaufe sell:verkaufe send:schicke
spend:ausgebe spent:ausgegeben change:ändere changed:geändert check:prüfe call:rufe
called:genannt read:lies write:schreibe speak:spreche talk:rede hear:höre listen:höre
play:spiele stop:stoppe start:beginne open:öffne close:schließe turn:drehe keep:behalte
cancel:storniere order:bestelle book:buche travel:reise traveling:reisend fly:fliege
eat:esse cook:koche work:arbeite remember:erinnere forget:vergiss repeat:wiederhole
add:füge remove:entferne increase:erhöhe confirm:bestätige explain:erkläre
to:zu of:von in:in on:auf at:bei from:aus for:für with:mit without:ohne by:durch
about:über into:hinein over:über under:unter between:zwischen before:vor after:nach
until:bis since:seit up:hinauf down:herunter out:heraus off:weg back:zurück near:nahe
and:und or:oder but:aber if:wenn because:weil than:als as:als not:nicht no:nein yes:ja
there:dort here:hier now:jetzt then:dann again:wieder still:noch soon:bald today:heute
tomorrow:morgen yesterday:gestern all:alle any:irgendein some:einige many:viele
much:viel more:mehr most:meiste less:weniger few:wenige enough:genug only:nur also:auch
very:sehr really:wirklich just:gerade too:auch so:so same:gleiche other:andere
another:eine_andere next:nächste last:letzte first:erste long:lang good:gut bad:schlecht
best:beste better:besser new:neu old:alt big:groß small:klein hot:heiß cold:kalt
right:richtig wrong:falsch sure:sicher please:bitte thanks:danke thank:danke
hello:hallo hi:hallo one:eins two:zwei three:drei four:vier five:fünf six:sechs
seven:sieben eight:acht nine:neun ten:zehn time:zeit day:tag days:tage week:woche
month:monat year:jahr hour:stunde minute:minute minutes:minuten night:nacht
morning:morgen monday:montag friday:freitag january:januar march:märz money:geld
account:konto card:karte bank:bank bill:rechnung bills:rechnungen balance:saldo
payment:zahlung number:nummer name:name list:liste phone:telefon car:auto oil:öl
tire:reifen tires:reifen gas:benzin flight:flug airport:flughafen hotel:hotel
luggage:gepäck trip:reise vacation:urlaub weather:wetter song:lied music:musik
food:essen dinner:abendessen lunch:mittagessen milk:milch water:wasser chicken:huhn
recipe:rezept restaurant:restaurant table:tisch room:zimmer house:haus home:zuhause
city:stadt country:land state:staat street:straße way:weg place:ort
job:arbeit meeting:besprechung schedule:zeitplan calendar:kalender reminder:erinnerung
insurance:versicherung taxes:steuern tax:steuer credit:kredit limit:grenze rate:zinssatz
report:bericht interest:zinsen language:sprache word:wort people:leute person:person
friend:freund dog:hund things:dinge thing:ding something:etwas everything:alles
nothing:nichts left:übrig lost:verloren possible:möglich available:verfügbar
safe:sicher ready:bereit
"""
_GERMAN = dict(pair.split(":") for pair in _DICTIONARY.split())


def reword(text: str, manner: Manner, rng: np.random.Generator) -> str:
    """Return a text as somebody else would have typed it.

    Args:
        text: The request.
        manner: How the text is changed.
        rng: Draws the polite phrases and the places of the typing errors.

    Example:
        >>> reword("what is my balance", "german", np.random.default_rng(0))
        'was ist mein saldo'
    """
    if manner == "polite":
        opening, closing = rng.integers(len(_OPENINGS)), rng.integers(len(_CLOSINGS))
        return f"{_OPENINGS[opening]} {text}? {_CLOSINGS[closing]}"
    if manner == "capitals":
        return text.upper() + "!!"
    if manner == "german":
        return re.sub(r"[\w']+", lambda found: _in_german(found[0]), text)
    letters = list(text)
    for _ in range(max(1, len(letters) // _CHARACTERS_A_SLIP)):
        i = int(rng.integers(max(1, len(letters) - 1)))
        letters[i : i + 2] = reversed(letters[i : i + 2])
    return "".join(letters)


def _in_german(word: str) -> str:
    return _GERMAN.get(word.lower(), word).replace("_", " ")
