import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import norm

from tinycats.evaluation.distribution import (
    frechet_distance,
    inside_manifold,
    kernel_distance,
    kernel_distances,
    labels_in_proportion,
    mean_pairwise_distances,
)
from tinycats.runtime.errors import UserError


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def with_moments(n: int, mean: np.ndarray, root: np.ndarray, seed: int) -> np.ndarray:
    """n samples whose own mean is exactly `mean` and whose own unbiased covariance is exactly root'root."""
    x = normal(n, len(mean), seed)
    x -= x.mean(axis=0)
    white = np.linalg.qr(x)[0] * np.sqrt(n - 1)
    return white @ root + mean


def precision_and_recall(real: np.ndarray, generated: np.ndarray, neighbours: int) -> tuple[float, float]:
    pairs = ((generated, real), (real, generated))
    precision, recall = (float(inside_manifold(points, manifold, neighbours).mean()) for points, manifold in pairs)
    return precision, recall


def textbook_frechet(mean1, cov1, mean2, cov2) -> float:
    return float(np.square(mean1 - mean2).sum() + np.trace(cov1 + cov2 - 2 * sqrtm(cov1 @ cov2).real))


class TestLabelsInProportion:
    @pytest.mark.parametrize(
        ("real", "count", "counts"),
        [
            ([15, 15, 15], 30, [10, 10, 10]),
            ([24, 9, 3], 36, [24, 9, 3]),
            ([24, 9, 3], 12, [8, 3, 1]),
            ([5, 3, 2], 5, [3, 1, 1]),  # 2.5, 1.5 and 1: of equal remainders the lower label's is rounded up
            ([98, 1, 1], 10, [10, 0, 0]),
            ([0, 4, 0, 4], 6, [0, 3, 0, 3]),
            ([1], 7, [7]),
        ],
    )
    def test_the_largest_remainders_are_rounded_up(self, real, count, counts):
        labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(real)), real))
        made = labels_in_proportion(labels, count)
        assert made.tolist() == sorted(made)
        assert np.bincount(made, minlength=len(real)).tolist() == counts

    def test_many_classes_are_never_off_by_a_whole_image(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            real = rng.integers(0, 20, rng.integers(1, 300))
            count = int(rng.integers(1, 500))
            made = labels_in_proportion(real, count)
            assert len(made) == count
            exact = np.bincount(real, minlength=20) * count / len(real)
            assert np.abs(np.bincount(made, minlength=20) - exact).max() < 1

    def test_features_that_tell_only_the_class_are_at_distance_zero(self):
        """A generator that is perfect in each class, and a test split with classes of different size."""
        real = np.repeat([0, 1, 2], [24, 9, 3])
        of_class = normal(3, 8, 0)
        made = of_class[labels_in_proportion(real, 36)]
        assert frechet_distance(of_class[real], made) == pytest.approx(0, abs=1e-9)
        assert precision_and_recall(of_class[real], made, 2) == (1, 1)
        assert frechet_distance(of_class[real], of_class[np.repeat([0, 1, 2], 12)]) > 0.1


class TestFrechetDistance:
    def test_identical_sets_give_zero(self):
        x = normal(300, 64, 0).astype(np.float32)
        assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)

    def test_permutation_changes_nothing(self):
        x, y = normal(100, 8, 0), normal(120, 8, 1) * 2
        order = np.random.default_rng(2).permutation(120)
        assert frechet_distance(x, y[order]) == pytest.approx(frechet_distance(x, y), rel=1e-12)
        assert frechet_distance(x, x[np.arange(100)[::-1]]) == pytest.approx(0, abs=1e-9)

    def test_moving_the_mean_gives_exactly_its_square_and_more_the_further(self):
        x, shift = normal(200, 5, 0), np.array([1.0, -2.0, 0.5, 0.0, 3.0])
        distances = [frechet_distance(x, x + scale * shift) for scale in (0.5, 1, 2)]
        assert distances == pytest.approx([scale**2 * np.square(shift).sum() for scale in (0.5, 1, 2)], rel=1e-9)

    def test_two_gaussians_with_commuting_covariances_give_the_closed_form(self):
        # Equal axes: |mu|^2 + sum (s1 - s2)^2.
        x = with_moments(50, np.zeros(3), np.diag([1.0, 2.0, 3.0]), 0)
        y = with_moments(70, np.array([1.0, 0.0, 2.0]), np.diag([2.0, 2.0, 0.5]), 1)
        assert frechet_distance(x, y) == pytest.approx(5 + 1 + 0 + 6.25, rel=1e-9)

    def test_covariances_that_do_not_commute_give_the_value_worked_by_hand(self):
        # S1 = diag(4, 1), S2 = [[2, 1], [1, 2]]. For 2x2: tr sqrt(P) = sqrt(tr P + 2 sqrt(det P)) with P = S1 S2:
        # tr P = 8 + 2 = 10, det P = 4 * 3 = 12. Distance: 5 + 4 - 2 sqrt(10 + 2 sqrt(12)).
        s1, s2 = np.diag([4.0, 1.0]), np.array([[2.0, 1.0], [1.0, 2.0]])
        assert not np.allclose(s1 @ s2, s2 @ s1)
        x = with_moments(40, np.zeros(2), np.linalg.cholesky(s1).T, 0)
        y = with_moments(60, np.zeros(2), np.linalg.cholesky(s2).T, 1)
        by_hand = 9 - 2 * np.sqrt(10 + 2 * np.sqrt(12))
        assert frechet_distance(x, y) == pytest.approx(by_hand, rel=1e-9)
        assert frechet_distance(y, x) == pytest.approx(by_hand, rel=1e-9)
        # Wrong roots that look plausible are far away: root by element, and tr(S1 S2)^(1/2) by diagonal.
        assert abs(9 - 2 * np.trace(np.sqrt(s1 @ s2)) - by_hand) > 0.01
        assert abs(9 - 2 * np.sqrt(np.trace(s1 @ s2)) - by_hand) > 0.01

    def test_equals_the_textbook_formula_on_random_covariances(self):
        x = normal(400, 20, 0) @ normal(20, 20, 1) + normal(1, 20, 2)
        y = normal(300, 20, 3) @ normal(20, 20, 4)
        expected = textbook_frechet(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
        assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)

    def test_samples_of_two_gaussians_come_near_the_closed_form(self):
        x, y = normal(20_000, 4, 0), 2 * normal(20_000, 4, 1) + 1
        assert frechet_distance(x, y) == pytest.approx(4 + 4, rel=0.03)

    def test_constant_features_do_not_break_it(self):
        x, y = normal(50, 4, 0), normal(50, 4, 1)
        x[:, 2] = y[:, 2] = 7
        assert np.isfinite(frechet_distance(x, y))
        assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)

    @pytest.mark.parametrize(("n", "m"), [(9, 12), (2, 3), (30, 9), (9, 30)])
    def test_with_fewer_images_than_features_it_is_that_of_the_fitted_gaussians(self, n, m):
        x, y = normal(n, 16, 0), 2 * normal(m, 16, 1) + 1
        covariances = np.cov(x.T), np.cov(y.T)  # singular, where a matrix root is not exact but its trace is known
        overlap = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(min=0)).sum()
        expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(sum(covariances)) - 2 * overlap
        assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
        assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-9)
        assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
        order = np.random.default_rng(2).permutation(m)
        assert frechet_distance(x, y[order]) == pytest.approx(frechet_distance(x, y), rel=1e-9)

    def test_fewer_images_are_further_apart(self):
        """The bias: two sets of one distribution, with 64 features."""
        distances = [frechet_distance(normal(n, 64, 0), normal(n, 64, 1)) for n in (20, 60, 200, 2000)]
        assert distances == sorted(distances, reverse=True)
        assert distances[0] > 10 * distances[-1]

    def test_one_image_is_refused_with_the_number_needed(self):
        x = normal(9, 8, 0)
        with pytest.raises(UserError, match="at least 2 images in each set, got 9 real and 1 generated"):
            frechet_distance(x, x[:1])


class TestKernelDistance:
    def test_equals_the_definition_written_as_loops(self):
        x, y = normal(5, 3, 0), normal(4, 3, 1) + 0.5

        def k(a, b):
            return (a @ b / 3 + 1) ** 3

        within_x = np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
        within_y = np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
        between = np.mean([k(a, b) for a in x for b in y])
        assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=1e-12)

    def test_is_unbiased_on_two_sets_of_one_distribution(self):
        values = np.array([kernel_distance(normal(40, 6, 2 * i), normal(50, 6, 2 * i + 1)) for i in range(200)])
        error = values.std() / np.sqrt(len(values))
        assert abs(values.mean()) < 4 * error
        assert (values < 0).any()  # a biased estimate never falls below 0

    def test_a_shift_gives_more_the_further_it_goes(self):
        x, y = normal(200, 6, 0), normal(200, 6, 1)
        distances = [kernel_distance(x, y + shift) for shift in (0, 0.5, 1, 2)]
        assert distances == sorted(distances)
        assert distances[1] > 5 * abs(distances[0])

    def test_two_gaussians_give_the_closed_form(self):
        # With one feature k(x, y) = (xy + 1)^3, so E k = sum of binomials times products of moments. For N(0, 1) the
        # moments are 0, 1, 0: E k(x, x') = 1 + 3. For N(1, 1) they are 1, 2, 4: 1 + 3 + 3 * 4 + 16. Between: 1 + 3 * 2.
        x = norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]  # quantiles: a sample without chance
        assert kernel_distance(x, x + 1) == pytest.approx(4 + 32 - 2 * 7, rel=0.02)

    def test_identical_sets_give_zero_but_for_the_bias_that_is_taken_off(self):
        x = normal(2000, 6, 0)
        assert kernel_distance(x, x) == pytest.approx(0, abs=0.01 * kernel_distance(x, x + 1))

    def test_counts_are_the_copies_of_a_picture_without_pairs_of_it_with_itself(self):
        x, y = normal(6, 3, 0), normal(5, 3, 1) + 0.5
        counts_x, counts_y = np.array([2, 0, 1, 3, 0, 0]), np.array([0, 1, 1, 1, 2])

        def k(a, b):
            return (a @ b / 3 + 1) ** 3

        def within(z, rows):
            return np.mean([k(z[i], z[j]) for i in rows for j in rows if i != j])

        rows_x, rows_y = np.repeat(range(6), counts_x), np.repeat(range(5), counts_y)
        between = np.mean([k(x[i], y[j]) for i in rows_x for j in rows_y])
        [value] = kernel_distances(x, y, counts_x[None], counts_y[None])
        assert value == pytest.approx(within(x, rows_x) + within(y, rows_y) - 2 * between, rel=1e-12)

    def test_permutation_and_chunks_change_nothing(self):
        x, y = normal(1500, 4, 0), normal(1100, 4, 1) + 0.3
        shuffled = x[np.random.default_rng(2).permutation(1500)]
        assert kernel_distance(shuffled, y) == pytest.approx(kernel_distance(x, y), rel=1e-9)

    def test_one_picture_is_refused(self):
        with pytest.raises(UserError, match="at least 2 images"):
            kernel_distance(normal(1, 3, 0), normal(9, 3, 1))


class TestPrecisionAndRecall:
    def test_identical_sets_give_one(self):
        x = normal(60, 5, 0)
        assert precision_and_recall(x, x, 3) == (1.0, 1.0)

    def test_disjoint_sets_give_zero(self):
        x = normal(60, 5, 0)
        assert precision_and_recall(x, x + 1000, 3) == (0.0, 0.0)

    def test_two_halves_of_one_distribution_give_nearly_one(self):
        precision, recall = precision_and_recall(normal(500, 3, 0), normal(500, 3, 1), 3)
        assert 0.8 < precision < 1
        assert 0.8 < recall < 1

    def test_a_shift_gives_less_the_further_it_goes(self):
        x, y = normal(300, 3, 0), normal(300, 3, 1)
        pairs = [precision_and_recall(x, y + shift, 3) for shift in (0, 1, 2, 9)]
        for values in zip(*pairs, strict=True):
            assert sorted(values, reverse=True) == list(values)
        assert pairs[-1] == (0, 0)

    def test_a_generator_that_knows_one_of_two_modes_is_precise_but_recalls_half(self):
        mode = normal(200, 4, 0)
        real = np.concatenate([mode, normal(200, 4, 1) + 100])
        precision, recall = precision_and_recall(real, normal(200, 4, 2), 3)
        assert precision > 0.7
        assert 0.3 < recall < 0.5

    def test_radii_worked_by_hand_on_a_line(self):
        # Real 0, 1, 3 with k=1: radii 1, 1, 2, balls cover [-1, 5]. Generated 5, 5.5: radii 0.5, balls cover [4.5, 6].
        real, generated = np.array([[0.0], [1.0], [3.0]]), np.array([[5.0], [5.5]])
        assert precision_and_recall(real, generated, 1) == (0.5, 0.0)

    def test_permutation_and_chunks_change_nothing(self):
        x, y = normal(1300, 3, 0), normal(1200, 3, 1) + 1
        shuffled = x[np.random.default_rng(2).permutation(1300)]
        assert precision_and_recall(x, y, 3) == precision_and_recall(shuffled, y, 3)

    def test_too_few_pictures_are_refused_with_the_number_needed(self):
        with pytest.raises(UserError, match="at least 4 images in each set, got 3 real and 9 generated"):
            precision_and_recall(normal(3, 2, 0), normal(9, 2, 1), 3)


class TestMeanPairwiseDistances:
    def test_equals_the_definition_written_as_loops(self):
        x = normal(6, 3, 0)
        counts = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 0]])

        def mean(rows):
            pairs = [(i, j) for i in rows for j in rows if i != j]
            return np.mean([np.linalg.norm(x[i] - x[j]) for i, j in pairs])

        expected = [mean(np.repeat(range(6), of_set)) for of_set in counts]
        assert mean_pairwise_distances(x, counts) == pytest.approx(expected, rel=1e-12)

    def test_one_image_again_and_again_has_none(self):
        assert mean_pairwise_distances(np.ones((5, 3)), np.ones((1, 5), int)) == pytest.approx([0])

    def test_scale_is_linear_and_place_does_not_matter(self):
        x, ones = normal(50, 4, 0), np.ones((1, 50), int)
        assert mean_pairwise_distances(2 * x + 7, ones) == pytest.approx(
            2 * mean_pairwise_distances(x, ones), rel=1e-12
        )

    def test_permutation_and_chunks_change_nothing(self):
        x, ones = normal(1500, 4, 0), np.ones((1, 1500), int)
        shuffled = x[np.random.default_rng(2).permutation(1500)]
        assert mean_pairwise_distances(shuffled, ones) == pytest.approx(mean_pairwise_distances(x, ones), rel=1e-9)
        known = 1.5 * np.sqrt(np.pi)  # the mean of |x - y| where both are normal with 4 features
        assert mean_pairwise_distances(x, ones)[0] == pytest.approx(known, rel=0.03)

    @pytest.mark.parametrize(("n", "counts"), [(1, [[1]]), (3, [[1, 1, 1], [0, 3, 0]])])
    def test_sets_without_two_images_are_refused(self, n, counts):
        with pytest.raises(UserError, match=f"at least 2 different images in each set, got {n}"):
            mean_pairwise_distances(normal(n, 3, 0), np.array(counts))


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, lambda x, y: precision_and_recall(x, y, 3)])
def test_features_that_are_not_finite_are_refused(metric):
    x, bad = normal(20, 3, 0), normal(20, 3, 1)
    bad[4, 1] = np.nan
    with pytest.raises(UserError, match="not finite"):
        metric(x, bad)
