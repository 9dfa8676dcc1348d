"""A station asks for the frames that tell it most, and learns from each answer."""

import numpy as np

from scorer.learning.answers import StreamFrames, apply_answers, learn
from scorer.learning.review_questions import next_question

GOOD, DEFECTS = 60, 6


def stream() -> StreamFrames:
    """Return good frames and defects of one kind; only two of the defects have the highest scores."""
    generator = np.random.default_rng(5)
    scores = np.concatenate([generator.lognormal(-2, 0.3, GOOD), [0.9, 0.8, 0.13, 0.12, 0.12, 0.11]])
    evidence = generator.normal(size=(GOOD + DEFECTS, 20))
    evidence[GOOD:, :5] += 4
    names = [f"frame {number}" for number in range(GOOD + DEFECTS)]
    return StreamFrames(names, scores, evidence, generator.normal(size=(GOOD + DEFECTS, 8)))


def is_defect(index: int) -> bool:
    return index >= GOOD


def test_the_highest_score_is_asked_first_and_none_twice() -> None:
    scores, descriptors = np.array([0.1, 0.9, 0.5]), np.eye(3)
    assert next_question(scores, descriptors, []) == 1
    assert next_question(scores, descriptors, [1]) == 2
    assert next_question(scores, descriptors, [1, 2, 0]) is None


def test_of_frames_that_look_alike_one_is_asked_before_others() -> None:
    descriptors = np.array([[1.0, 0.0], [1.0, 0.001], [0.0, 1.0]])
    assert next_question(np.array([0.9, 0.8, 0.1]), descriptors, [0]) == 2
    assert next_question(np.array([0.9, 0.8, 0.1]), descriptors, [0, 2]) == 1


def test_answers_lead_to_defects_that_the_score_alone_does_not_show() -> None:
    frames = stream()
    learned = learn(frames, 8, is_defect)
    highest_scores = np.argsort(-frames.scores)[:8]
    assert learned.is_defect.sum() == DEFECTS
    assert sum(is_defect(int(index)) for index in highest_scores) < DEFECTS
    assert learned.scores[GOOD:].min() > np.quantile(learned.scores[:GOOD], 0.95)


def test_without_answers_nothing_changes() -> None:
    frames = stream()
    learned = learn(frames, 0, is_defect)
    assert learned.head is None
    assert learned.answered == ()
    assert (learned.scores == frames.scores).all()


def test_answers_that_all_say_good_make_no_head() -> None:
    learned = learn(stream(), 5, lambda _: False)
    assert learned.head is None
    assert len(learned.answered) == 5


def test_the_same_answers_given_at_once_lead_to_the_same() -> None:
    frames = stream()
    one_by_one = learn(frames, 6, is_defect)
    at_once = apply_answers(frames, one_by_one.is_defect, one_by_one.answered)
    assert (at_once.scores == one_by_one.scores).all()
