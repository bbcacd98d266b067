"""What is said: everyday sentences that no two speakers share.

They are made of templates and word lists, so that the project may carry them, and hold every sound
of English often.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

_TEMPLATES = """
{the} {adjective} {thing} {lay} {place}.
{the} {person} {did} {the} {thing} {place}.
{the} {person} {did} {the} {adjective} {thing}, and {the} {person} {did} {these} {things}.
{name} {did} {the} {thing}, but {name} {did} {the} {adjective} {thing}.
{time}, {name} {did} {the} {thing}.
{time}, {the} {adjective} {person} {went} {place}.
when {the} {person} {went} {place}, {name} {did} {the} {thing}.
if {name} can {do} {the} {thing}, {we} should {do} {these} {adjective} {things}.
please {do} {the} {adjective} {thing} {time}.
{name}, please {do} {the} {thing} {place}.
did {the} {person} {do} {the} {thing} {time}?
why did {name} {do} {these} {adjective} {things}?
who will {do} {the} {thing} {place}?
{we} will {do} {number} {adjective} {things} {time}.
{we} never {did} {the} {thing}, because {the} {person} {went} {place}.
{number} {things}, {number} {things}, and {the} {thing} were {place}.
{name} {went} {place} with {number} {adjective} {things}.
{the} {person} {said} that {the} {thing} {was} {adjective}.
{these} {things} of {the} {person} {were} {adjective} and {adjective}.
there were {number} {things} {place}, {the} {person} {said}.
nobody {did} {the} {thing} as {manner} as {name}.
{manner}, {the} {person} {did} {the} {thing}.
{the} {person} {went} {place} {manner}.
how {manner} {name} {did} {these} {things}!
it {was} {adjective}, so {we} {did} {these} {things} {manner}.
{name} has certainly forgotten {the} {adjective} {thing}.
{the} {thing} was bitten, beaten, and eaten {place}.
{name} had written to {the} {person} {time}.
{we} couldn't {do} {these} {things} {time}, so {name} waited {place}.
"""

_WORDS = {
    "the": "the|the|the|a|a|this|that|our|their|your|her|his|my|each|another",
    "these": "the|the|these|those|our|their|your|her|his|my|all the",
    "person": """
        teacher|doctor|lawyer|farmer|sailor|baker|painter|singer|captain|cousin|uncle|aunt|father|
        mother|brother|sister|neighbor|stranger|boy|girl|child|youth|woman|man|lady|gentleman|
        judge|king|queen|nurse|pilot|driver|waiter|writer|player|student|soldier|butcher|gardener|
        plumber|engineer|tailor|fisherman|thief|guard|mayor|chef|guest|visitor|tourist|priest|
        monk|young couple|old fellow|choir|jury|crew|customer|owner|coach|clerk|shepherd|jockey|
        hunter|dancer|musician|actor|poet|physician|magician|little boy|daughter|nephew|
        grandfather|policeman|postman|carpenter|little kitten|certain Latin teacher|
        British captain|artist|hatter
    """,
    "thing": """
        bottle|button|kitten|suit|water|city map|letter|ladder|table|chair|book|hook|cup|jug|dish|
        spoon|fork|knife|garage|treasure|measure|vision|boat|ship|coat|shoe|boot|glove|hat|shirt|
        dress|box|basket|bag|purse|jewel|ring|watch|clock|lamp|candle|mirror|window|door|house|
        cottage|castle|church|bridge|tower|garden|flower|rose|thorn|tree|leaf|branch|root|fruit|
        apple|orange|cherry|peach|grape|melon|carrot|onion|potato|tomato|cabbage|cheese|butter|
        bread|toast|cake|pie|cookie|sugar|juice|soup|sandwich|sausage|fish|chicken|turkey|goose|
        duck|horse|cow|sheep|pig|dog|puppy|cat|mouse|rabbit|zebra|giraffe|elephant|tiger|lion|
        monkey|snake|bird|eagle|bee|moth|spider|beetle|wheel|engine|bicycle|motor|hammer|saw|nail|
        rope|wool|cloth|leather|paper|pencil|ink|picture|painting|violin|piano|drum|trumpet|song|
        tune|story|joke|puzzle|riddle|riverboat|oyster|oil|coin|toy|noise|voice|choice|wood|
        pudding|cushion|sofa|bed|pillow|blanket|towel|soap|brush|comb|scissors case|needle|thread|
        zipper|pocket|wallet|ticket|passport|newspaper|magazine|photograph|telephone|radio|
        television|computer|camera|judgment|question|answer|idea|thought|youth hostel|
        beige carpet|fuel tank|huge cube|mountain|tooth|mouth organ|feather|weather report|rhythm|
        prism|cotton|curtain|mitten|fountain|rotten log|sweater|motto|meadow|pasture|ocean view|
        yacht|yellow onion|yard|lawn|fence|gate|tool|spool|pool|moon|noodle|shield|wealth|month|
        strength test|length of rope|sphere|sketch|scheme|squash|splinter|spring
    """,
    "things": """
        bottles|buttons|kittens|letters|ladders|tables|chairs|books|cups|dishes|spoons|forks|
        knives|garages|treasures|boats|coats|shoes|boots|gloves|hats|shirts|boxes|baskets|watches|
        clocks|candles|mirrors|windows|houses|churches|bridges|flowers|roses|leaves|apples|
        oranges|cherries|peaches|grapes|carrots|potatoes|tomatoes|cookies|eggs|sandwiches|ducks|
        horses|cows|sheep|puppies|mice|rabbits|zebras|monkeys|snakes|birds|bees|moths|wheels|
        bicycles|hammers|nails|ropes|pencils|pictures|drums|songs|stories|jokes|coins|toys|noises|
        voices|choices|cushions|pillows|towels|brushes|needles|tickets|newspapers|cameras|
        questions|answers|ideas|thoughts|teeth|feathers|curtains|mittens|sweaters|tools|yachts|
        months|cubes|jewels|girls|boys|women|lawyers|thieves|judges|youths|paths|cloths|masks|
        desks|lists|months of rain
    """,
    "adjective": """
        old|new|young|big|little|small|large|huge|tiny|short|long|tall|thick|thin|wide|narrow|
        deep|shallow|high|low|heavy|light|strong|weak|hard|soft|smooth|rough|sharp|dull|bright|
        dark|pale|clean|dirty|wet|dry|hot|cold|warm|cool|fresh|stale|sweet|sour|bitter|salty|
        quiet|loud|noisy|calm|angry|happy|sad|jolly|gentle|cruel|kind|rude|polite|clever|foolish|
        lazy|busy|quick|slow|early|late|ready|empty|full|open|broken|hidden|golden|silver|wooden|
        woolen|yellow|green|blue|red|orange|purple|brown|white|black|gray|beige|pretty|ugly|
        lovely|awful|beautiful|plain|fancy|cheap|precious|usual|unusual|common|rare|strange|
        familiar|foreign|royal|loyal|thirsty|hungry|greedy|generous|ancient|modern|wonderful|
        terrible|dangerous|delicious|enormous|curious|serious|famous|muddy|dusty|rusty|shiny|
        sticky|slippery|thorny|thoughtful|truthful|youthful|useful|useless|northern|southern|
        western|eastern|metal|rotten|better|greasy|crisp|stout|proud|rounded|crooked|certain|
        forgotten|frightening
    """,
    "did": """
        took|gave away|bought|sold|found|lost|hid|saw|heard|smelled|tasted|touched|washed|dried|
        cleaned|painted|fixed|broke|built|carried|dropped|threw|caught|pushed|pulled|lifted|
        opened|closed|locked|moved|kept|left|wanted|needed|liked|loved|hated|chose|changed|
        measured|counted|drew|cut|chopped|cooked|burned|shook|joined|followed|watched|noticed|
        forgot|remembered|described|mentioned|borrowed|returned|showed|brought|sent|pointed at|
        looked at|laughed at|thought about|asked for|paid for|waited for|listened to|put down|
        picked up|turned over|wrapped|folded|hung up|judged|polished|ruined|rescued|used|enjoyed|
        avoided|destroyed|admired|ordered|shared|treasured|gathered|weighed|rubbed|scratched|
        squeezed|swapped|had eaten|had forgotten|frightened|flattened|sweetened|had written about|
        threatened
    """,
    "do": """
        take|give away|buy|sell|find|lose|hide|see|hear|smell|taste|touch|wash|dry|clean|paint|
        fix|break|build|carry|drop|throw|catch|push|pull|lift|open|close|lock|move|keep|leave|
        choose|change|measure|count|draw|cut|chop|cook|burn|shake|join|follow|watch|notice|forget|
        remember|describe|mention|borrow|return|show|bring|send|point at|look at|laugh at|
        think about|ask for|pay for|wait for|listen to|put down|pick up|turn over|wrap|fold|
        hang up|judge|polish|rescue|use|enjoy|avoid|admire|order|share|flatten|sweeten|lighten|
        shorten|write about|get|forget about
    """,
    "went": """
        went|walked|ran|hurried|drove|sailed|rode|flew|moved|traveled|wandered|arrived|stayed|
        slept|waited|worked|played|sang|danced|shouted|whispered|laughed|cried|lived|sat|stood|
        fished|rested|studied|yawned|sneezed|coughed|argued|vanished|jogged
    """,
    "said": "said|thought|believed|knew|heard|wrote|announced|agreed|insisted|denied|assured us",
    "was": "is|was|was not|looked|seemed|became|stayed",
    "lay": "is|was|lay|stood|stayed|was not",
    "were": "are|were|were not|seemed|looked",
    "we": "we|they|you|I",
    "number": """
        two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|twenty|thirty|
        a hundred|a few|several|many|both|some|no
    """,
    "place": """
        in the kitchen|in the garden|at the station|at the harbor|on the table|under the bridge|
        near the river|behind the church|beside the road|by the fire|across the street|
        around the corner|over the mountains|through the woods|along the shore|above the clouds|
        below the hill|in the city|at the beach|on the roof|inside the castle|outside the town|
        among the trees|between the houses|toward the valley|up the stairs|down the path|
        into the cave|in the middle of the yard|at the edge of the pool|without a good reason|
        for his youngest daughter|in the south|up north|out west|at school|at home|in the theater|
        on the ship|near the big oak|by the oily puddle|at the royal court|in the azure water|
        under the moon
    """,
    "time": """
        today|tomorrow|yesterday|tonight|this morning|this evening|last Thursday|next month|
        every Sunday|on Monday|on Tuesday|on Wednesday|on Friday|at noon|at midnight|before lunch|
        after dinner|in January|in February|in June|in August|in winter|in the summer|
        during the vacation|at four o'clock|once a year|years ago|as usual|right away|in a moment|
        soon|later|after the battle|at a quarter to eight|on a certain Saturday
    """,
    "manner": """
        quickly|slowly|quietly|loudly|gently|roughly|carefully|cheerfully|sadly|happily|politely|
        rudely|bravely|foolishly|neatly|badly|well|calmly|suddenly|eagerly|patiently|thoroughly|
        usually|casually|smoothly|joyfully|proudly|wisely|warmly|strangely|certainly|
        in a certain way|prettily|at a better time
    """,
    "name": """
        Alice|Barbara|Cynthia|Dorothy|Edith|Fiona|Gladys|Heather|Irene|Judith|Kathy|Lucy|Margaret|
        Nancy|Olivia|Penny|Rachel|Sarah|Theresa|Ursula|Vivian|Wendy|Yvonne|Zoe|Arthur|Benjamin|
        Charles|David|Edward|Frank|George|Henry|Isaac|Joyce|Keith|Leonard|Matthew|Nathan|Oscar|
        Peter|Roger|Stephen|Thomas|Victor|Walter|Hugh|Joy|Floyd|Ruth|Luke|Mister Moore|Missus Shaw
    """,
}
_LISTS = {
    name: tuple(entry.strip() for entry in " ".join(words.split()).split("|"))
    for name, words in _WORDS.items()
}
_SENTENCES = tuple(line for line in _TEMPLATES.splitlines() if line)
_SLOT = re.compile(r"{(\w+)}")
# "a useful", but "an unusual".
_BEFORE_VOWEL = re.compile(r"\ba(?= [aeiou])(?! us)")


def sentences(seed: str) -> Iterator[str]:
    """Makes sentences without end, no two of them alike.

    Args:
        seed: other seeds make others.

    Example:
        >>> next(sentences("example"))
        'A flower was bitten, beaten, and eaten by the fire.'
    """
    numbers = random.Random(seed)
    said = set()
    while True:
        filled = _SLOT.sub(
            lambda slot: numbers.choice(_LISTS[slot[1]]), numbers.choice(_SENTENCES)
        )
        spelled = _BEFORE_VOWEL.sub("an", filled)
        text = spelled[0].upper() + spelled[1:]
        if text not in said:
            said.add(text)
            yield text


def vocabulary() -> tuple[str, ...]:
    """Lists every word and phrase that a sentence can be made of."""
    frames = (_SLOT.sub(" ", sentence) for sentence in _SENTENCES)
    return (*itertools.chain.from_iterable(_LISTS.values()), *(" ".join(f.split()) for f in frames))
