"""Sentences of three intents, with what real ones bring: capitals, apostrophes, digits, accents, one-letter words."""

TRAINING = [
    (sentence.format(thing), intent)
    for intent, things, sentences in [
        (
            "pay",
            ["bill", "rent", "invoice no 7", "café tab", "électricité"],
            ["Pay my {}", "I'd like to pay the {}", "can you settle the {} today?", "transfer $50 for the {}"],
        ),
        (
            "block",
            ["card", "credit card", "account", "Visa", "carte bleue"],
            ["Block my {}", "I've lost my {}!", "my {} was stolen, freeze it", "don't let anyone use my {}"],
        ),
        (
            "balance",
            ["savings", "account", "checking a/c", "Girokonto für Größeres", "compte à terme"],
            [
                "What's the balance of my {}?",
                "how much is in my {}",
                "show me my {} balance",
                "is there money in my {}",
            ],
        ),
    ]
    for thing in things
    for sentence in sentences
]

UNSEEN = [
    "please pay the rent",
    "What's my balance?",
    "I can't find my card, block it!",
    "transfer $1,000.00 to the café",
    "J'ai PERDU ma carte bleue à l'école",
    "ÉLECTRICITÉ: payer aujourd\u2019hui",
    "wie viel ist auf dem GIROKONTO für Größeres",
    "savings",
    "a b c",
    "I",
    "",
    "   ",
    "pay\tthe\nbill",
    "freeze-my-card",
    "snake_case card",
    "nothing of this was ever said",
    "日本語 card",
    "pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay pay",
]
