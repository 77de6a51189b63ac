"""Short lists of words with a part in finding judged features; the large lexicons come from packages."""

from __future__ import annotations


def words_of(text: str) -> frozenset[str]:
    """The words of a list written as a text."""
    return frozenset(text.split())


# Verbs that join a subject with an adjective; their senses among them, also nouns after an article.
LINKING = words_of(
    """
    is are was were be been am it's that's isn't aren't wasn't weren't look looks looked feel feels felt seem seems
    seemed sound sounds sounded smell smells smelled taste tastes tasted
    """
)
SENSES = words_of(
    """
    look looks feel feels sound sounds smell smells taste tastes
    """
)
# Verbs that judge their object.
LIKING = words_of(
    """
    love loved loves loving like liked likes enjoy enjoyed hate hated dislike disliked appreciate appreciated adore
    """
)
# Verbs whose object an adjective behind it judges: "I find the straps comfortable".
FINDING = words_of(
    """
    find found make makes made keep keeps kept consider considered
    """
)
# Nouns of the lexicon, or verbs, that only the words around tell apart.
VERBS_TOO = words_of(
    """
    use uses work works play plays love need needs want hope plan record plug plugs mount cut holds fits clip clips
    pick picks stand stands set ship help stay stays last lasts start starts cost costs move moves turn turns
    """
)
# Words of degree: an adjective that people grade is an opinion.
DEGREE = words_of(
    """
    very really so too pretty extremely quite super incredibly fairly more most less amazingly surprisingly
    """
)
# Adjectives that judge what one does: "easy to install".
EASE = words_of(
    """
    easy easier simple hard harder difficult fun comfortable great nice good quick impossible convenient tricky
    """
)
# Adjectives that say which or how many, not how good.
NO_OPINION = words_of(
    """
    able actual additional all another any big bigger biggest black blue certain different due electric acoustic
    entire every few fewer first former free full fellow green high higher highest important individual large larger
    last latest least less likely little live main many more most much multiple necessary new next old older only
    open original other others overall own particular past possible present previous proper real red same second
    several short similar single small smaller some specific standard such sure tall third top total typical used
    usual various white whole willing worth yellow young extra half long longer low lower common complete current
    future general initial local normal obvious recent regular ready dead fresh classic modern digital
    """
)
# Nouns that are no features of an item, however often they are judged.
NO_FEATURE = words_of(
    """
    thing things lot lots way ways time times bit year years day days week weeks month months hour hours minute
    minutes second seconds moment today night morning weekend people person someone anyone everyone everything
    anything something nothing one ones others guy guys man men woman women boy girl kid kids child children son
    sons daughter wife husband friend friends brother sister dad mom father mother family baby customer customers
    reviewer reviewers review reviews star stars amazon reason reasons idea ideas problem problems issue issues luck
    job deal choice purchase buy buys order place places world life part parts kind kinds sort sorts type types fact
    point points question questions answer opinion experience example course rest end ends start beginning side
    sides number numbers couple ton tons piece pair hand hands addition alternative option options step matter fan
    bang buck bucks dollar dollars cents money expectation expectations thank thanks product products item items
    stuff work five four three two hell heck god gosh wow manner spot musician player players beginner beginners
    user users amount duty condition difference investment replacement solution gift present company seller sellers
    works situation case-by-case chance trouble hope joy favorite must-have plus complaint complaints understatement
    winner bonus thought thoughts page website site store stores description picture pictures photo photos gripe
    downside drawback age room stage inch inches feet name rock music mine yours hers
    """
)
# Verbs that are no features: "hard to beat", "nice to have".
NO_ACTION = words_of(
    """
    be have has do get go say see know think believe buy come tell hear imagine ask try beat want need admit report
    recommend give pay look find put take hold
    """
)
