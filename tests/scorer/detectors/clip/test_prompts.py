from scorer.detectors.clip.prompts import prompt_ensemble


def test_an_object_has_seven_normal_and_four_anomalous_states_in_22_templates() -> None:
    prompts = prompt_ensemble("solar cell")
    assert len(prompts.normal) == len(set(prompts.normal)) == 7 * 22
    assert len(prompts.anomaly) == len(set(prompts.anomaly)) == 4 * 22
    assert prompts.normal[0] == "a cropped photo of the solar cell."
    assert prompts.normal[-1] == "a photo of the solar cell without damage for anomaly detection."
    assert prompts.anomaly[0] == "a cropped photo of the damaged solar cell."
    assert prompts.anomaly[22] == "a cropped photo of the solar cell with flaw."


def test_an_underscore_is_a_space() -> None:
    assert prompt_ensemble("metal_nut") == prompt_ensemble("metal nut")


def test_a_cifar_class_has_one_pair_of_prompts() -> None:
    for noun in ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck", "animal"):
        assert prompt_ensemble(noun).normal == (f"a photo of {noun} for anomaly detection.",)
        assert prompt_ensemble(noun).anomaly == (f"a photo without {noun} for anomaly detection.",)


def test_a_noun_similar_to_a_cifar_class_is_an_object() -> None:
    assert len(prompt_ensemble("Cat").normal) == len(prompt_ensemble("cat litter").normal) == 7 * 22


def test_braces_in_a_name_are_kept() -> None:
    assert prompt_ensemble("bracket {left}").normal[0] == "a cropped photo of the bracket {left}."
