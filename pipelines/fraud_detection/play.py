"""The page: a card payment, with what is known of card and terminal, and whether somebody should look at it."""

from __future__ import annotations

from modelyard.play.description import Example, Moment, Number, Play, Probability, Reasons, Verdict

_EVERYDAY: dict[str, object] = {
    "event_time": "2024-05-17T12:25:00Z",
    "customer_id": "1734",
    "terminal_id": "9021",
    "amount": 38.5,
    "customer_tx_count_1d": 2,
    "customer_tx_count_7d": 14,
    "customer_tx_count_30d": 60,
    "customer_amount_mean_1d": 35.3,
    "customer_amount_mean_7d": 36.9,
    "customer_amount_mean_30d": 38.0,
    "customer_amount_std_30d": 19.5,
    "customer_amount_max_30d": 84.0,
    "customer_amount_ratio_30d": 1.01,
    "customer_tx_count_1h": 1,
    "customer_days_since_previous": 0.18,
    "customer_terminal_uses": 12,
    "customer_new_terminal_count_7d": 0,
    "customer_known_fraud_count_30d": 0,
    "customer_recent_length": 6,
    "customer_recent_amounts": [35.5, 41.2, 12.9, 28.4, 32.1, 38.5],
    "customer_recent_ages_h": [50.4, 40.7, 26.4, 17.2, 4.3, 0.0],
    "customer_recent_hours_of_day": [10.0, 19.7, 10.0, 19.2, 8.1, 12.4],
    "customer_recent_terminal_uses": [7.0, 3.0, 8.0, 5.0, 9.0, 12.0],
    "customer_recent_terminal_risks_7d": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    "terminal_tx_count_1d": 1,
    "terminal_tx_count_7d": 7,
    "terminal_tx_count_30d": 30,
    "terminal_risk_1d": 0.0,
    "terminal_risk_7d": 0.0,
    "terminal_risk_30d": 0.0,
    "terminal_known_fraud_count_30d": 0,
    "terminal_days_since_known_fraud": 60.0,
    "terminal_days_since_first_known_fraud": 60.0,
    "terminal_activity_1h": 1,
    "terminal_activity_1d": 2,
    "terminal_amount_mean_1h": 38.5,
}
"""A payment as on any other day: near home, at noon, about as large as usual."""

_SPREE: dict[str, object] = {
    "event_time": "2024-05-18T02:40:00Z",
    "amount": 168.0,
    "customer_tx_count_1d": 7,
    "customer_tx_count_7d": 19,
    "customer_tx_count_30d": 65,
    "customer_amount_mean_1d": 148.0,
    "customer_amount_mean_7d": 78.0,
    "customer_amount_mean_30d": 47.0,
    "customer_amount_std_30d": 36.0,
    "customer_amount_max_30d": 190.0,
    "customer_amount_ratio_30d": 3.7,
    "customer_tx_count_1h": 5,
    "customer_days_since_previous": 0.006,
    "customer_terminal_uses": 0,
    "customer_new_terminal_count_7d": 6,
    "customer_recent_amounts": [38.5, 155.0, 190.0, 142.0, 177.0, 168.0],
    "customer_recent_ages_h": [14.3, 0.75, 0.55, 0.4, 0.15, 0.0],
    "customer_recent_hours_of_day": [12.4, 1.9, 2.1, 2.3, 2.5, 2.7],
    "customer_recent_terminal_uses": [12.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    "terminal_amount_mean_1h": 168.0,
}

_COMPROMISED: dict[str, object] = {
    "amount": 44.0,
    "customer_amount_ratio_30d": 1.16,
    "customer_recent_amounts": [35.5, 41.2, 12.9, 28.4, 32.1, 44.0],
    "customer_recent_terminal_risks_7d": [0.0, 0.0, 0.0, 0.0, 0.0, 0.8],
    "customer_terminal_uses": 1,
    "customer_recent_terminal_uses": [7.0, 3.0, 8.0, 5.0, 9.0, 1.0],
    "terminal_risk_1d": 1.0,
    "terminal_risk_7d": 0.8,
    "terminal_risk_30d": 0.25,
    "terminal_known_fraud_count_30d": 6,
    "terminal_days_since_known_fraud": 7.1,
    "terminal_days_since_first_known_fraud": 13.5,
    "terminal_activity_1h": 2,
    "terminal_activity_1d": 4,
    "terminal_amount_mean_1h": 44.0,
}


def examples() -> list[Example]:
    """Returns a stolen card's spree, a payment at a compromised terminal, and one as on any other day."""
    return [
        Example(
            title="A stolen card on a spree",
            sentence="Five payments within an hour at night, large, at terminals where the card was never used.",
            request=_EVERYDAY | _SPREE,
        ),
        Example(
            title="A compromised terminal",
            sentence="Nothing is wrong with the card or the amount; but this terminal has given away cards lately.",
            request=_EVERYDAY | _COMPROMISED,
        ),
        Example(
            title="An everyday payment",
            sentence="At noon, near home, about as much as usual.",
            request=_EVERYDAY,
        ),
    ]


PLAY = Play(
    question="Should a person look at this card payment today?",
    inputs=[
        Number(
            field="amount",
            label="Amount",
            help="In the currency of the training data. What the card has paid before stays as it is.",
            minimum=1,
            maximum=1_000,
            step=0.5,
            is_logarithmic=True,
            sets=["customer_recent_amounts"],
            sets_ratios={"customer_amount_ratio_30d": "customer_amount_mean_30d"},
        ),
        Number(
            field="customer_tx_count_1h",
            label="Payments of the card within the last hour",
            minimum=1,
            maximum=20,
            step=1,
        ),
        Number(
            field="customer_new_terminal_count_7d",
            label="Payments at terminals new to the card, 7 days",
            minimum=0,
            maximum=20,
            step=1,
        ),
        Number(
            field="customer_terminal_uses",
            label="Earlier payments of the card at this terminal",
            minimum=0,
            maximum=50,
            step=1,
            sets=["customer_recent_terminal_uses"],
        ),
        Number(
            field="terminal_risk_7d",
            label="Share of frauds at this terminal",
            help="In 7 days that ended a week ago: frauds become known late.",
            minimum=0,
            maximum=1,
            step=0.01,
            sets=["customer_recent_terminal_risks_7d"],
        ),
        Number(
            field="terminal_known_fraud_count_30d",
            label="Known frauds at this terminal, 30 days",
            minimum=0,
            maximum=30,
            step=1,
        ),
        Moment(field="event_time", label="When the card was used", is_advanced=True),
        Number(
            field="customer_days_since_previous",
            label="Since the card's payment before",
            minimum=0.001,
            maximum=60,
            step=0.001,
            unit="d",
            is_logarithmic=True,
            is_advanced=True,
        ),
        Number(
            field="customer_known_fraud_count_30d",
            label="Known frauds with this card, 30 days",
            minimum=0,
            maximum=10,
            step=1,
            is_advanced=True,
        ),
        Number(
            field="terminal_risk_30d",
            label="Share of frauds at this terminal, 30 days",
            minimum=0,
            maximum=1,
            step=0.01,
            is_advanced=True,
        ),
    ],
    outputs=[
        Verdict(
            field="is_alert",
            label="Alert",
            tones={"true": "bad", "false": "good"},
            names={"true": "Look at this card today", "false": "No alert"},
        ),
        Probability(
            field="fraud_probability",
            label="Probability of fraud",
            help="Calibrated: of 100 payments with 20 %, about 20 are frauds.",
        ),
        Reasons(
            field="reasons",
            label="What makes it suspicious",
            if_none="Without an alert no reasons are given.",
        ),
    ],
    examples=examples,
    meaning=(
        "Area under precision and recall: the mean share of frauds among the payments ranked first; chance gets the"
        " share of frauds, less than 0.01, and 0.7 is good."
    ),
    caution="It learnt from simulated payments unless you trained it on your own.",
    picture="precision_recall",
)
"""The page of the project."""
