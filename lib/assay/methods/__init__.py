"""Methods: the measures of published papers, each a few functions over `assay.LM`.

    >>> from assay import methods
    >>> methods.logit_lens(lm, "The capital of France is").ranks(" Paris").shape         # one rank a layer
    (8,)

Every public function and class is an attribute of this module; its file, and MLX, are imported when the name is first used.
docs/methods.md lists them. Methods of one paper are in a folder for that paper. Methods of several papers, and tools for all
methods (states, heads, distributions, separation, geometry, preferences, portions), are files beside this one.
"""

# ruff: noqa: F401, I001  (the imports below are for type checkers)

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # fmt: off
    from assay.methods.confidence.areas import AreasBeside, area_in_groups, areas_beside, effective_numbers
    from assay.methods.confidence.calibration import (
        Bin, BrierParts, brier_parts, calibration_error_interval, chance_calibration_errors, expected_calibration_error,
        fit_temperature, reliability_curve,
    )
    from assay.methods.confidence.choices import calibration_error, squared_errors
    from assay.methods.confidence.multiple_choice import letter_log_probs, names_a_letter
    from assay.methods.confidence.own_answers import OwnAnswer, OwnStates, answer_own, first_sentence, read_own
    from assay.methods.confidence.inference_time import (
        head_accuracies, head_outputs_at_end, head_shifts, random_shifts, shift_edits,
    )
    from assay.methods.confidence.place_direction import (
        PromptPlace, acting_layer, auroc_by_layer, place_at_end_of, separating_layer, states_at_places,
    )
    from assay.methods.confidence.probes import (
        Probe, ccs_probe, centred, component_probe, contrast_probe, logistic_probe, mass_mean_iid_probe, mass_mean_probe,
        principal_components, signed,
    )
    from assay.methods.depth import (
        BestLayer, EffectsByLayer, best_layer, depth_percent, depth_window, furthest_apart, layer_difference,
        peak_over_control,
    )
    from assay.methods.direction_controls import (
        cosine_pseudo_values, mean_cosine, permuted_differences, random_control, shuffled_control, split_half,
    )
    from assay.methods.direction_files import control_vector, export_control_vector, load_direction, save_direction
    from assay.methods.directions import (
        Direction, Directions, chat_prompts, difference_in_means, post_instruction, states_where_read,
        takes_system_prompt, template_tail, writes_system_prompt,
    )
    from assay.methods.distributions import kl_divergence, kl_of_logits, log_probs, log_softmax, token_ranks
    from assay.methods.function_vectors.attention_roles import (
        attention_by_role, prefix_matching, value_weighted_attention,
    )
    from assay.methods.function_vectors.function_vector import (
        Injected, as_long_as, function_vector, inject_at_every_layer, inject_vector, nested_function_vectors,
    )
    from assay.methods.function_vectors.head_choice import HeadChoice, choose_heads, head_counts
    from assay.methods.function_vectors.head_means import HeadMeans, RecordedHeads, record_heads
    from assay.methods.function_vectors.in_context import (
        Trial, TrialScores, answer_log_probs, answer_tokens, answer_trials, begins_with_word, draw_trials,
        make_trial, query_halves, score_run, usable_queries, writes_answers,
    )
    from assay.methods.function_vectors.mediation import (
        estimated_head_effects, head_effects, head_effects_by_role, head_means_by_piece, prompt_pieces,
    )
    from assay.methods.function_vectors.natural_text import continuations_name_answers
    from assay.methods.function_vectors.task_study import (
        MAIN_TASKS, RANDOM_KINDS, VECTOR_KINDS, StudySizes, TaskStudy,
    )
    from assay.methods.function_vectors.vocabulary import prefers_tokens, reconstruct_vectors, vocabulary_log_probs
    from assay.methods.geometry import cosine_matrix, nearest_is_own_kind, within_and_between_kinds
    from assay.methods.head_attribution import attention_share, head_writes_along
    from assay.methods.heads import (
        attention_rms, head_sum_error, head_writes, norm_gain, other_heads, ranked_heads, top_heads,
    )
    from assay.methods.hopping_too_late.backpatch import (
        PATCH_KINDS, PatchTable, back_patch, draw_donor, layer_pairs, noise_like, patch_pairs, patch_table,
        query_rng,
    )
    from assay.methods.hopping_too_late.cross_patch import cross_patch, cross_patch_prompts, from_later
    from assay.methods.hopping_too_late.description import (
        ScopeChoice, choose_scope, classify_description, describe_named_bridge, describe_states,
        first_source_layer, reading_targets, reading_targets_by_other_half, where_described,
    )
    from assay.methods.hopping_too_late.knockout import (
        FILLER_PAIRS, KNOCKOUT_PAIRS, LAST_FROM_E1, LAST_FROM_PHRASE, KnockedOut, answer_unchanged,
        knock_out, knock_out_query, knockout_half_width, knockout_matters, knockout_window,
    )
    from assay.methods.hopping_too_late.names import (
        entity_names, first_name_tokens, foreign_tokens, other_queries, other_query, telling_tokens,
    )
    from assay.methods.hopping_too_late.parts import (
        e1_phrase, ends_in_entity, first_hop_parts, locate_queries, part_positions, query_parts, second_hop_parts,
    )
    from assay.methods.hopping_too_late.patchscopes import SCOPES, Scope, patchscope
    from assay.methods.hopping_too_late.projection import project_query, project_sublayers
    from assay.methods.hopping_too_late.timeline import (
        STAGES, complete_stages, concordance, first_layer, first_layer_on_top, last_token_ranks, lens_ranks, lens_stages,
        mean_layer, query_stages, stage_layers,
    )
    from assay.methods.hopping_too_late.two_hop import (
        EvaluatedQuery, composed_queries, evaluate_queries, failed_queries, find_failed_queries, in_chat,
    )
    from assay.methods.layer_effects import (
        LayerProbe, any_log_prob, effects_of_layers, first_log_prob, log_odds, log_odds_of_two, random_as_long,
    )
    from assay.methods.lens import Lens, logit_lens, logit_lenses
    from assay.methods.orthogonalisation import Orthogonalised, orthogonalise, same_at_run_time, save_orthogonalised
    from assay.methods.persona.contrasts import (
        InstructedPair, PersonaContrast, instructed, instructed_pairs, instruction_contrast, names_contrast,
        tells_an_answer,
    )
    from assay.methods.persona.crossed import crossed_interval
    from assay.methods.persona.halves import disjoint_halves, exchanged_labels, half_cosine, half_cosine_interval
    from assay.methods.persona.monitoring import monitor_layers, rank_correlation_interval
    from assay.methods.persona.persona_scores import labelled_area, self_scores
    from assay.methods.persona.persona_steering import Asked, SteeringPlace, changes_response, choose_places, split_asked
    from assay.methods.persona.persona_vectors import (
        PERSONA_KINDS, kept_pairs, persona_edits, persona_vectors, shuffled_labels, states_of_kind,
    )
    from assay.methods.persona.responses import (
        Response, ResponseStates, coherent, respond, response_loss, response_states,
    )
    from assay.methods.portions import balanced, batches, spread
    from assay.methods.preferences import answer_preference, paired_preference, where_answers_part
    from assay.methods.refusal.answer_loss import answer_loss, own_answers
    from assay.methods.refusal.judging import (
        RefusalOutcome, judge_refusals, refusal_score, refusal_tokens, variants_by_prompt,
    )
    from assay.methods.refusal.refusal_direction import (
        RefusalDirection, is_refusal_in, refusal_direction, refusal_scores, refused_as_expected,
        request_prompts,
    )
    from assay.methods.refusal.selection import (
        DirectionSelection, SelectionFilters, SuccessiveHalving, select_direction,
    )
    from assay.methods.refusal.suffix_search import (
        find_suffix, ordinary_tokens, random_suffix, suffix_positions, token_embeddings, with_suffix,
    )
    from assay.methods.sampling import GumbelNoise, sampling_edits
    from assay.methods.separation import (
        auroc, d_prime, folded_aurocs, pairwise_above, project_onto, silhouette, spearman,
    )
    from assay.methods.states import last_states, states_at, states_from_end
    from assay.methods.steering import Steered, random_directions, steer_layers, stream_norms
    from assay.methods.sycophancy.contrastive import (
        TwoOptions, behaviour_vectors, equalised, letter_completions, letter_preference, letter_states, shuffled_vectors,
        strength_addition, swept_letter_preference,
    )
    from assay.methods.sycophancy.contrasts import (
        Contrasts, LayerChoice, Series, cross_validated, letter_contrasts, letters_answered, topic_folds,
    )
    from assay.methods.sycophancy.dialogues import (
        KnownForm, SecondThoughts, comparable, comparable_replies, known_form, own_answers_as_turns, reply_preference,
        second_thoughts, swept_reply_preference,
    )
    from assay.methods.sycophancy.verdicts import Verdicts, verdicts
    from assay.methods.sycophancy.named_option import (
        OptionEnds, WithOptions, exchange_options, named_contrasts, option_ends,
    )
    # fmt: on

# fmt: off
INDEX = {
    "lens": ("nostalgebraist 2020", "Lens logit_lens logit_lenses"),
    "steering": ("", "Steered random_directions steer_layers stream_norms"),
    "directions": ("Arditi et al. 2024, 2.3 and 2.4", "Direction Directions chat_prompts difference_in_means"
        " post_instruction states_where_read takes_system_prompt template_tail writes_system_prompt"),
    "direction_controls": ("", "cosine_pseudo_values mean_cosine permuted_differences random_control shuffled_control"
        " split_half"),
    "direction_files": ("", "control_vector export_control_vector load_direction save_direction"),
    "head_attribution": ("Arditi et al. 2024, 5.1", "attention_share head_writes_along"),
    "orthogonalisation": ("Arditi et al. 2024, 4.1", "Orthogonalised orthogonalise same_at_run_time"
        " save_orthogonalised"),
    "heads": ("", "attention_rms head_sum_error head_writes norm_gain other_heads ranked_heads top_heads"),
    "states": ("", "last_states states_at states_from_end"),
    "distributions": ("", "kl_divergence kl_of_logits log_probs log_softmax token_ranks"),
    "separation": ("", "auroc d_prime folded_aurocs pairwise_above project_onto silhouette spearman"),
    "geometry": ("Todd et al. 2024, appendix", "cosine_matrix nearest_is_own_kind within_and_between_kinds"),
    "preferences": ("Kadavath et al. 2022", "answer_preference paired_preference where_answers_part"),
    "sampling": ("", "GumbelNoise sampling_edits"),
    "portions": ("", "balanced batches spread"),
    "layer_effects": ("", "LayerProbe any_log_prob effects_of_layers first_log_prob log_odds log_odds_of_two"
        " random_as_long"),
    "depth": ("", "BestLayer EffectsByLayer best_layer depth_percent depth_window furthest_apart layer_difference"
        " peak_over_control"),
    "hopping_too_late.two_hop": ("Biran et al. 2024, 3", "EvaluatedQuery composed_queries evaluate_queries"
        " failed_queries find_failed_queries in_chat"),
    "hopping_too_late.names": ("Biran et al. 2024, 4.3", "entity_names first_name_tokens foreign_tokens"
        " other_queries other_query telling_tokens"),
    "hopping_too_late.parts": ("Biran et al. 2024, 4 and 5", "e1_phrase ends_in_entity first_hop_parts"
        " locate_queries part_positions query_parts second_hop_parts"),
    "hopping_too_late.patchscopes": ("Ghandeharioun et al. 2024", "SCOPES Scope patchscope"),
    "hopping_too_late.description": ("Biran et al. 2024, 4.1 and 4.2", "ScopeChoice choose_scope"
        " classify_description describe_named_bridge describe_states first_source_layer reading_targets"
        " reading_targets_by_other_half where_described"),
    "hopping_too_late.projection": ("Biran et al. 2024, 4.3", "project_query project_sublayers"),
    "hopping_too_late.knockout": ("Biran et al. 2024, 4.4; Geva et al. 2023", "FILLER_PAIRS KNOCKOUT_PAIRS"
        " LAST_FROM_E1 LAST_FROM_PHRASE KnockedOut answer_unchanged knock_out knock_out_query knockout_half_width"
        " knockout_matters knockout_window"),
    "hopping_too_late.timeline": ("Biran et al. 2024, 5", "STAGES complete_stages concordance first_layer"
        " first_layer_on_top last_token_ranks lens_ranks lens_stages mean_layer query_stages stage_layers"),
    "hopping_too_late.backpatch": ("Biran et al. 2024, 6", "PATCH_KINDS PatchTable back_patch draw_donor"
        " layer_pairs noise_like patch_pairs patch_table query_rng"),
    "hopping_too_late.cross_patch": ("Biran et al. 2024, code", "cross_patch cross_patch_prompts from_later"),
    "function_vectors.in_context": ("Todd et al. 2024, 2.1", "Trial TrialScores answer_log_probs answer_tokens"
        " answer_trials begins_with_word draw_trials make_trial query_halves score_run usable_queries writes_answers"),
    "function_vectors.head_means": ("Todd et al. 2024, 2.2", "HeadMeans RecordedHeads record_heads"),
    "function_vectors.mediation": ("Todd et al. 2024, 2.2", "estimated_head_effects head_effects"
        " head_effects_by_role head_means_by_piece prompt_pieces"),
    "function_vectors.function_vector": ("Todd et al. 2024, 2.3", "Injected as_long_as function_vector"
        " inject_at_every_layer inject_vector nested_function_vectors"),
    "function_vectors.head_choice": ("Todd et al. 2024, 2.3", "HeadChoice choose_heads head_counts"),
    "function_vectors.task_study": ("Todd et al. 2024, 2", "MAIN_TASKS RANDOM_KINDS StudySizes TaskStudy"
        " VECTOR_KINDS"),
    "function_vectors.natural_text": ("Todd et al. 2024, 3.1", "continuations_name_answers"),
    "function_vectors.vocabulary": ("Todd et al. 2024, 3.2", "prefers_tokens reconstruct_vectors"
        " vocabulary_log_probs"),
    "function_vectors.attention_roles": ("Todd et al. 2024, figure 3", "attention_by_role prefix_matching"
        " value_weighted_attention"),
    "refusal.judging": ("Arditi et al. 2024, 2.5 and B", "RefusalOutcome judge_refusals refusal_score"
        " refusal_tokens variants_by_prompt"),
    "refusal.refusal_direction": ("Arditi et al. 2024, 2.3; Wang et al. 2025", "RefusalDirection is_refusal_in"
        " refusal_direction refusal_scores refused_as_expected request_prompts"),
    "refusal.selection": ("Arditi et al. 2024, 2.3 and C", "DirectionSelection SelectionFilters"
        " SuccessiveHalving select_direction"),
    "refusal.answer_loss": ("Arditi et al. 2024, 4.3", "answer_loss own_answers"),
    "refusal.suffix_search": ("Arditi et al. 2024, 5; Zou et al. 2023", "find_suffix ordinary_tokens"
        " random_suffix suffix_positions token_embeddings with_suffix"),
    "confidence.areas": ("", "AreasBeside area_in_groups areas_beside effective_numbers"),
    "confidence.calibration": ("Kadavath et al. 2022, 3", "Bin BrierParts brier_parts calibration_error_interval"
        " chance_calibration_errors expected_calibration_error fit_temperature reliability_curve"),
    "confidence.multiple_choice": ("Kadavath et al. 2022, 2", "letter_log_probs names_a_letter"),
    "confidence.own_answers": ("Kadavath et al. 2022, 3 to 5", "OwnAnswer OwnStates answer_own first_sentence"
        " read_own"),
    "confidence.choices": ("Kadavath et al. 2022", "calibration_error squared_errors"),
    "confidence.inference_time": ("Li et al. 2023, 3 and 4.1", "head_accuracies head_outputs_at_end head_shifts"
        " random_shifts shift_edits"),
    "confidence.place_direction": ("Marks and Tegmark 2023; Ferrando et al. 2024", "PromptPlace acting_layer"
        " auroc_by_layer place_at_end_of separating_layer states_at_places"),
    "confidence.probes": ("Marks and Tegmark 2023, 5; Burns et al. 2022, 2", "Probe ccs_probe centred component_probe"
        " contrast_probe logistic_probe mass_mean_iid_probe mass_mean_probe principal_components signed"),
    "sycophancy.contrastive": ("Rimsky et al. 2024, 3", "TwoOptions behaviour_vectors equalised letter_completions"
        " letter_preference letter_states shuffled_vectors strength_addition swept_letter_preference"),
    "sycophancy.contrasts": ("Rimsky et al. 2024, 3", "Contrasts LayerChoice Series cross_validated letter_contrasts"
        " letters_answered topic_folds"),
    "sycophancy.dialogues": ("Sharma et al. 2023, 3", "KnownForm SecondThoughts comparable comparable_replies known_form"
        " own_answers_as_turns reply_preference second_thoughts swept_reply_preference"),
    "sycophancy.verdicts": ("Sharma et al. 2023, 3.1", "Verdicts verdicts"),
    "sycophancy.named_option": ("", "OptionEnds WithOptions exchange_options named_contrasts option_ends"),
    "persona.responses": ("Chen et al. 2025", "Response ResponseStates coherent respond response_loss response_states"),
    "persona.persona_vectors": ("Chen et al. 2025, 2.2", "PERSONA_KINDS kept_pairs persona_edits persona_vectors"
        " shuffled_labels states_of_kind"),
    "persona.persona_scores": ("", "labelled_area self_scores"),
    "persona.persona_steering": ("Chen et al. 2025, 3.2", "Asked SteeringPlace changes_response choose_places"
        " split_asked"),
    "persona.contrasts": ("Chen et al. 2025, 2.1", "InstructedPair PersonaContrast instructed instructed_pairs"
        " instruction_contrast names_contrast tells_an_answer"),
    "persona.halves": ("", "disjoint_halves exchanged_labels half_cosine half_cosine_interval"),
    "persona.monitoring": ("Chen et al. 2025, 3.3", "monitor_layers rank_correlation_interval"),
    "persona.crossed": ("", "crossed_interval"),
}
# fmt: on
"""Module -> (its paper and section or "", its public names)."""

_HOME = {name: f"{__name__}.{module}" for module, (_, names) in INDEX.items() for name in names.split()}


class _Index(ModuleType):
    """This module, in which importing a file under its old name (`assay.moved`) never replaces a method of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"assay.methods has no {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted(_HOME)


sys.modules[__name__].__class__ = _Index
