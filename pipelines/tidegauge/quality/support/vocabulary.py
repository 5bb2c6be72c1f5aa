"""Words that a check without a model has to know: of numbers, units, months and grammar.

A table is a text of rows between semicolons; the first word of a row names what all its words
mean. What a language lacks here is not found in it; nothing is found wrongly for it.
"""

# ruff: noqa: RUF001 - words in many scripts

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["COMMON", "GERMAN", "JOINING", "MONTHS", "NUMBER_WORDS", "SCALES", "TITLES", "UNITS"]


def _rows(table: str) -> Iterator[tuple[str, list[str]]]:
    for row in table.split(";"):
        name, *words = row.split()
        yield name, words


def _values(table: str) -> Mapping[str, int]:
    """Return word -> the whole number that begins its row."""
    return MappingProxyType({word: int(name) for name, words in _rows(table) for word in words})


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


SCALES: Final = MappingProxyType(
    {
        word: 10.0**power
        for word, power in _values(
            """
    3 k thousand tausend mille mil mila duizend тыс тысяч тысяча тысячи bin tysięcy tysiące 千 천
        हज़ार हजार ألف;
    4 万 萬 만;
    5 lakh lakhs लाख;
    6 m mn mio million millions millionen millones milhões milhão milioni milione miljoen млн
        миллион миллиона миллионов milyon mln milionów miliony 百万 백만 مليون;
    7 crore crores करोड़;
    8 亿 億 억;
    9 b bn mrd billion billions milliarde milliarden milliard milliards miliardi miljard млрд
        миллиард миллиарда миллиардов milyar miliardów 十亿 십억 مليار;
    12 tn trillion trillions billionen 兆 조 трлн
"""
        ).items()
    }
)
"""Word behind a number -> what the number is multiplied by."""

UNITS: Final = MappingProxyType(
    {
        word: name
        for name, words in _rows(
            """
    % percent percentage prozent pourcent procent procento процент процента процентов yüzde;
    $ usd dollar dollars доллар доллара долларов dólares dollari 美元 ドル 달러;
    € eur euro euros евро 欧元 ユーロ 유로;
    £ gbp pound pounds sterling;
    ¥ jpy cny yen yuan 円 元 日元;
    ₹ inr rupee rupees रुपये;
    second seconds sec secs s sekunde sekunden seconde secondes segundo segundos secondi секунд 秒
        초;
    minute minutes min mins minuten minuto minutos minuti минут минуты минуту 分 分钟 분;
    hour hours hr hrs h stunde stunden heure heures hora horas ora ore uur час часа часов saat 小时
        時間 시간;
    day days tag tage tagen jour jours día días dia dias giorno giorni dag dagen день дня дней gün
        天 日 일;
    week weeks woche wochen semaine semaines semana semanas settimana settimane weken недель 周 週間
        주;
    month months monat monate monaten mois mes meses mese mesi maand maanden месяц месяца месяцев
        ay 月 个月 개월;
    year years yr yrs jahr jahre jahren an ans année années año años ano anos anno anni jaar год
        года лет yıl 年 년;
    mm millimeter millimeters millimetre millimetres;
    cm centimeter centimeters centimetre centimetres;
    meter meters metre metres mètre mètres metro metros metri метров 米;
    km kilometer kilometers kilometre kilometres kilomètres kilómetros км 公里 キロ;
    mile miles mi meilen;
    kg kilogram kilograms kilo kilos кг 公斤;
    gram grams g gramm grammes grammi;
    ton tons tonne tonnes tonnen;
    liter liters litre litres l litros litri литров;
    °c celsius;
    °f fahrenheit;
    kb kilobyte kilobytes;
    mb megabyte megabytes;
    gb gigabyte gigabytes;
    tb terabyte terabytes;
    watt watts w;
    kwh
"""
        )
        for word in (name, *words)
    }
)
"""Word or sign beside a number -> its unit's usual name."""

NUMBER_WORDS: Final = _values(
    """
    0 zero null zéro cero nul ноль;
    1 one ein eine einen einem eins un une uno una um uma een один одна jeden;
    2 two twice both zwei deux dos due dois duas twee два две dwa dwie;
    3 three drei trois tres tre três drie три üç trzy;
    4 four vier quatre cuatro quattro quatro четыре dört cztery;
    5 five fünf cinq cinco cinque vijf пять beş pięć;
    6 six sechs seis sei zes шесть altı sześć;
    7 seven sieben sept siete sette sete zeven семь yedi siedem;
    8 eight acht huit ocho otto oito восемь sekiz osiem;
    9 nine neun neuf nueve nove negen девять dokuz dziewięć;
    10 ten zehn dix diez dieci dez tien десять dziesięć;
    11 eleven elf onze once undici одиннадцать jedenaście;
    12 twelve dozen zwölf douze doce dodici doze twaalf двенадцать dwanaście
"""
)
"""Word -> its value, up to twelve."""

MONTHS: Final = _values(
    """
    1 january januar jänner janvier enero gennaio janeiro januari января январь stycznia styczeń
        ocak jan ene gen;
    2 february februar février febrero febbraio fevereiro februari февраля февраль lutego luty
        şubat feb févr fev;
    3 march märz mars marzo março maart марта март marca marzec mart mar mär;
    4 april avril abril aprile апреля апрель kwietnia kwiecień nisan apr avr abr;
    5 may mai mayo maggio maio mei мая май maja maj mayıs mag;
    6 june juni juin junio giugno junho июня июнь czerwca czerwiec haziran jun giu;
    7 july juli juillet julio luglio julho июля июль lipca lipiec temmuz jul lug juil;
    8 august août agosto augustus августа август sierpnia sierpień ağustos aug ago;
    9 september septembre septiembre settembre setembro сентября сентябрь września wrzesień eylül
        sep sept set;
    10 october oktober octobre octubre ottobre outubro октября октябрь października październik
        ekim oct okt ott out;
    11 november novembre noviembre novembro ноября ноябрь listopada listopad kasım nov;
    12 december dezember décembre diciembre dicembre dezembro декабря декабрь grudnia grudzień
        aralık dec dez déc dic
"""
)
"""ProperName of a month, also shortened -> its number."""

_COMMON_BY_LANGUAGE: Final = {
    language: frozenset(words)
    for language, words in _rows(
        """
    en a an and are as at be been being but by for from had has have he her here him his how
        i if in into is it its just more most no nor not of off on once only or other our out
        over own same she should so some such than that the their them then there these they
        this those through to too under until up very was we were what when where which while
        who whom why will with would you your about after again all also am any because before
        below between both can could did do does doing down during each few further however may
        might must shall since still though upon via whether within without yet says said
        according;
    de der die das den dem des ein eine einen einem einer eines und oder aber nicht kein
        keine ich du er sie es wir ihr ihn ihm ihnen sich mein meine dein sein seine ihre unser
        ist sind war waren wird werden wurde wurden hat haben hatte kann können muss soll auf
        aus bei bis für im ins mit nach seit um unter von vom vor zu zum zur über durch ohne
        gegen als wie wenn dass weil wo wer auch noch nur schon sehr dann hier dort diese dieser
        dieses diesem diesen;
    fr le la les un une de et ou mais ne pas je tu il elle nous vous ils elles se mon ma mes
        ton son sa ses leur leurs notre votre est sont était être ont avait avoir au aux avec
        dans en par pour sans sous sur vers chez qui que quoi dont où quand comme si plus très
        aussi ce cet cette ces cela ça lui y;
    es el los las una unos unas del o pero yo tú él ella nosotros ellos ellas usted mi su
        sus nuestro era fue ser está están ha han había haber al con por para sin sobre entre
        hasta desde quien cual donde cuando como más muy también este esta estos estas eso lo;
    it gli uno di della dei delle dello degli e non io lei noi voi loro mio suo sua suoi è
        sono fu essere hanno aveva alla ai alle nel nella per da dal dalla sul tra fra senza che
        chi cui dove quando come più molto anche questo questa questi queste ci;
    pt os uma dos mas não eu ele ela nós eles elas você meu minha seu é são foi estão tem
        têm ao à com em na nos nas sem até quem qual onde muito também isso lhe;
    nl het een maar niet geen ik jij hij zij ze wij jullie mijn zijn haar hun wordt worden
        heeft hebben kan moet aan bij door met naar om op te tot uit van voor zonder dan dat dit
        deze wat waar wanneer hoe ook nog;
    ru и в во не что он она оно они мы вы я ты на с со как а то все это этот эта эти его её
        ее их по к ко у же за бы из от о об для до но или если при быть был была было были есть
        нет так также который которая которые где когда чем;
    pl w nie co ona ono oni my wy ja ty z jak się jest są był była było były od dla po przez
        przy ale lub czy że który która które ten ta gdzie kiedy tak także być;
    tr ve bir bu şu ile için gibi ama veya değil kim nerede çok daha olarak olan var yok ben
        sen biz siz onlar ise kadar sonra;
    ar في من إلى على عن مع أن إن لا ما هذا هذه هو هي هم التي الذي كان كانت قد أو ثم بعد قبل
        كل;
    hi और का की के को से में है हैं था थे थी यह वह ये वे एक पर ने नहीं भी तो या कि जो हो कर;
    ko 그 이 저 및 또는 그리고 하지만
"""
    )
}

COMMON: Final[frozenset[str]] = frozenset().union(*_COMMON_BY_LANGUAGE.values())
"""Words that carry no content."""

GERMAN: Final = _COMMON_BY_LANGUAGE["de"] - _COMMON_BY_LANGUAGE["en"]
"""The common words of German, which writes nouns with a capital, that English does not have."""

TITLES: Final = _set(
    """
    mr mrs ms dr prof st gen brig col lt sgt capt gov sen rep rev hon no vs inc ltd co corp sr jr
        sra herr frau mme mlle dott
"""
)
"""Words that a full stop may follow within a sentence."""

JOINING: Final = _set(
    """
    of the de la le del da do dos das di du des van von der den ten bin ibn al el y e und and for
"""
)
"""Words without a capital within a name."""
