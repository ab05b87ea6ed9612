"""The device's search against FAISS: same cases, same order, same padding; and under fake CUDA tensors."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from flow_rag_vla.memory import faiss_gpu
from flow_rag_vla.memory.device_search import DeviceHits, HostSearch, TorchSearch
from flow_rag_vla.memory.faiss_gpu import FAISS_GPU_VARIABLE, FaissGpuSearch, make_search
from flow_rag_vla.memory.index import CosineIndex

EAST = (1.0, 0.0, 0.0, 0.0)
NORTH = (0.0, 1.0, 0.0, 0.0)
UP = (0.0, 0.0, 1.0, 0.0)
EAST_BY_NORTH = (0.8, 0.6, 0.0, 0.0)
NEARLY_EAST_BY_NORTH = (0.6, 0.8, 0.0, 0.0)


def on_the_cpu(keys):
    """What stands for faiss-gpu's brute force: FAISS on the CPU, in float32."""
    flat = faiss.IndexFlatIP(keys.shape[1])
    flat.add(np.ascontiguousarray(keys))
    return lambda queries, num_rows: torch.from_numpy(flat.search(queries.numpy(), num_rows)[1])


def by_faiss(index, device):
    return FaissGpuSearch(index, device, on_the_cpu(index.keys))


@pytest.fixture(params=[TorchSearch, by_faiss], ids=["torch", "faiss proposes"])
def make(request):
    return request.param


def filled(case_ids, keys):
    index = CosineIndex(np.shape(keys)[1])
    index.add(case_ids, keys)
    return index


def assert_same(found: DeviceHits, index: CosineIndex, queries, k, min_similarity=-1.0):
    expected = index.search(queries, k, min_similarity)
    np.testing.assert_array_equal(found.case_ids.numpy(), expected.case_ids)
    np.testing.assert_array_equal(found.valid.numpy(), expected.valid)
    np.testing.assert_allclose(found.similarity.numpy(), expected.similarity, rtol=0, atol=3e-7)
    assert found.case_ids.dtype == torch.int64
    assert found.similarity.dtype == torch.float32


def test_an_empty_index_finds_nothing(make):
    found = make(CosineIndex(4), "cpu").search(torch.tensor([EAST, NORTH]), 3)
    assert found.case_ids.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert found.similarity.tolist() == [[0.0] * 3] * 2
    assert not found.valid.any()
    assert found.hit.tolist() == [False, False]


def test_no_queries_give_no_rows(make):
    assert make(filled([1], [EAST]), "cpu").search(torch.zeros(0, 4), 3).case_ids.shape == (0, 3)


def test_fewer_cases_than_asked_for_are_padded_with_masked_zeros(make):
    found = make(filled([3, 7], [EAST, NORTH]), "cpu").search(torch.tensor([EAST_BY_NORTH]), 4)
    assert found.case_ids.tolist() == [[3, 7, 0, 0]]
    assert found.similarity.tolist() == [pytest.approx([0.8, 0.6, 0.0, 0.0])]
    assert found.valid.tolist() == [[True, True, False, False]]


def test_less_similar_cases_are_masked(make):
    found = make(filled([1, 2], [EAST, NORTH]), "cpu").search(torch.tensor([EAST_BY_NORTH, NORTH]), 2, 0.7)
    assert found.case_ids.tolist() == [[1, 0], [2, 0]]
    assert found.valid.tolist() == [[True, False], [True, False]]


def test_a_case_with_several_keys_is_found_once_by_its_best_key(make):
    index = filled([1, 1, 1, 2], [NORTH, EAST, EAST_BY_NORTH, NEARLY_EAST_BY_NORTH])
    found = make(index, "cpu").search(torch.tensor([EAST]), 2)
    assert found.case_ids.tolist() == [[1, 2]]
    assert found.similarity.tolist() == [[1.0, pytest.approx(0.6)]]


@pytest.mark.parametrize("num_queries", [1, 30])
def test_ties_go_to_the_older_case_however_many_there_are(make, num_queries):
    index = filled(range(3, 403), [EAST] * 20 + [NORTH] * 380)
    found = make(index, "cpu").search(torch.tensor([NORTH] * num_queries), 3)
    assert found.case_ids.tolist() == [[23, 24, 25]] * num_queries


def test_opposite_and_perpendicular_cases_come_last_in_the_order_of_their_ids(make):
    index = filled([1, 2, 3, 4], [(-1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -1.0, 0.0), (0.0, 0.0, 1.0, 0.0), EAST])
    found = make(index, "cpu").search(torch.tensor([(2.0, 0.0, 0.0, 0.0)]), 4)
    assert found.case_ids.tolist() == [[4, 2, 3, 1]]  # minus zero and zero are one similarity
    assert found.similarity.tolist() == [[1.0, 0.0, 0.0, -1.0]]


def test_a_removed_case_is_not_found_by_a_search_made_afterwards(make):
    index = filled([1, 2, 2, 3], [EAST, NORTH, EAST_BY_NORTH, NEARLY_EAST_BY_NORTH])
    before = make(index, "cpu")
    index.remove([2])
    found = make(index, "cpu").search(torch.tensor([NORTH]), 3, 0.5)
    assert found.case_ids.tolist() == [[3, 0, 0]]
    assert before.search(torch.tensor([NORTH]), 1).case_ids.tolist() == [[2]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_a_query_without_a_direction_finds_nothing_and_disturbs_no_other(make, bad):
    found = make(filled([1, 2], [EAST, NORTH]), "cpu").search(torch.tensor([[bad] * 4, EAST]), 1)
    assert found.hit.tolist() == [False, True]
    assert found.case_ids.tolist() == [[0], [1]]
    assert found.similarity.tolist() == [[0.0], [1.0]]


def test_a_wrong_shape_or_number_is_named(make):
    search = make(filled([1], [EAST]), "cpu")
    with pytest.raises(ValueError, match=r"expected shape \(n, 4\), got \(1, 3\)"):
        search.search(torch.ones(1, 3), 1)
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        search.search(torch.ones(1, 4), 0)


@pytest.mark.parametrize("num_queries", [1, 7, 1500])
def test_random_keys_with_duplicates_and_removed_cases_give_the_answers_of_faiss(make, num_queries):
    rng = np.random.default_rng(num_queries)
    keys = rng.normal(size=(900, 32))
    keys[600:] = keys[rng.integers(0, 600, 300)]  # every third key stands twice or more
    index = filled(np.sort(rng.integers(1, 301, 900)), keys)
    index.remove(rng.choice(index.row_case_ids, 20))
    queries = np.float32(keys[rng.integers(0, 900, num_queries)] + 0.2 * rng.normal(size=(num_queries, 32)))
    search = make(index, "cpu")
    for k, least in ((1, -1.0), (5, 0.9), (20, 0.0)):
        assert_same(search.search(torch.from_numpy(queries), k, least), index, queries, k, least)


def test_a_batch_answers_each_query_bit_for_bit_as_if_it_were_alone(make):
    rng = np.random.default_rng(3)
    index = filled(np.repeat(np.arange(1, 201), 4), rng.normal(size=(800, 512)))
    queries = torch.from_numpy(rng.normal(size=(60, 512)).astype(np.float32))
    search = make(index, "cpu")
    batch = search.search(queries, 5)
    for row in range(len(queries)):
        alone = search.search(queries[row : row + 1], 5)
        assert torch.equal(alone.case_ids[0], batch.case_ids[row])
        assert torch.equal(alone.similarity[0], batch.similarity[row])


def test_on_the_cpu_faiss_itself_answers_and_follows_the_index():
    index = filled([1], [EAST])
    search = make_search(index, "cpu")
    assert isinstance(search, HostSearch)
    queries = np.array([NORTH, EAST_BY_NORTH], dtype=np.float32)
    index.add([2], [NORTH])
    expected = index.search(queries, 3)
    found = search.search(torch.from_numpy(queries), 3)
    for column, values in vars(expected).items():
        assert getattr(found, column).numpy().tobytes() == values.tobytes(), column


def test_on_cuda_torch_searches_and_faiss_gpu_where_it_is_asked_for(monkeypatch):
    index = filled([1], [EAST])
    monkeypatch.setattr(faiss_gpu, "_brute_force", lambda keys: on_the_cpu)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    with FakeTensorMode():
        for asked, kind in ((None, TorchSearch), ("0", TorchSearch), ("1", FaissGpuSearch)):
            monkeypatch.delenv(FAISS_GPU_VARIABLE, raising=False)
            if asked is not None:
                monkeypatch.setenv(FAISS_GPU_VARIABLE, asked)
            assert type(make_search(index, "cuda")) is kind


@pytest.mark.parametrize(
    ("asked", "line"), [("yes", "is 'yes', expected 0 or 1"), ("1", "is 1, but the installed faiss sees no GPU")]
)
def test_what_the_variable_cannot_mean_is_refused(monkeypatch, asked, line):
    monkeypatch.setenv(FAISS_GPU_VARIABLE, asked)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with pytest.raises(ValueError, match=f"{FAISS_GPU_VARIABLE} {line}"):
        make_search(filled([1], [EAST]), "cuda")


def test_all_searches_on_a_device_share_faiss_s_scratch_memory(monkeypatch):
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    faiss_gpu._resources.cache_clear()
    assert faiss_gpu._resources(0) is faiss_gpu._resources(0)
    assert faiss_gpu._resources(0) is not faiss_gpu._resources(1)
    faiss_gpu._resources.cache_clear()


def newest_first(keys):
    """FAISS may propose any of the rows that tie with the last one: here those added last."""
    rows = torch.as_tensor(np.array(keys)).flip(0)

    def propose(queries, num_rows):
        order = (queries @ rows.T).sort(dim=1, descending=True, stable=True).indices
        return len(rows) - 1 - order[:, :num_rows]

    return propose


@pytest.mark.parametrize(("num_tied", "least"), [(20, -1.0), (50, -1.0), (380, -1.0), (380, 0.9)])
def test_more_ties_than_are_proposed_go_to_the_oldest_cases_too(num_tied, least):
    index = filled(range(1, 401), [UP] * (400 - num_tied) + [NORTH] * num_tied)
    queries = np.array([NORTH, EAST_BY_NORTH, EAST, UP], dtype=np.float32)
    found = FaissGpuSearch(index, "cpu", newest_first(index.keys)).search(torch.from_numpy(queries), 3, least)
    assert_same(found, index, queries, 3, least)
    oldest = 401 - num_tied
    assert found.case_ids[0].tolist() == [oldest, oldest + 1, oldest + 2]


def test_all_keys_are_compared_only_where_ties_may_have_been_left_out(monkeypatch):
    asked_again = []
    exact = TorchSearch._case_similarity
    monkeypatch.setattr(
        TorchSearch, "_case_similarity", lambda self, q, *a: asked_again.append(len(q)) or exact(self, q, *a)
    )
    index = filled(range(1, 401), [UP] * 20 + [NORTH] * 380)
    search = FaissGpuSearch(index, "cpu", newest_first(index.keys))
    search.search(torch.tensor([NORTH, UP, EAST_BY_NORTH, UP, NORTH]), 3, 0.7)
    assert asked_again == [2]  # 20 cases equal UP, fewer than are proposed; 0.6 is no hit


def test_the_answers_do_not_depend_on_how_many_keys_are_gathered_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    index = filled(np.repeat(np.arange(1, 201), 4), rng.normal(size=(800, 32)))
    queries = torch.from_numpy(rng.normal(size=(50, 32)).astype(np.float32))
    together = by_faiss(index, "cpu").search(queries, 5)
    monkeypatch.setattr(faiss_gpu, "GATHERED_BYTES", 3 * (20 + faiss_gpu.SLACK) * 32 * 8)  # three queries
    for column, values in vars(by_faiss(index, "cpu").search(queries, 5)).items():
        assert torch.equal(values, getattr(together, column)), column


def test_faiss_is_not_asked_about_no_queries():
    index = filled(range(1, 101), np.eye(100))
    search = FaissGpuSearch(index, "cpu", lambda queries, m: pytest.fail("asked"))
    found = search.search(torch.zeros(0, 100), 3)
    assert found.valid.shape == (0, 3)
    assert [column.dtype for column in vars(found).values()] == [torch.int64, torch.float32, torch.bool]


@pytest.mark.parametrize("num_cases", [0, 3, 400])
def test_keys_and_answers_never_leave_a_cuda_device(num_cases):
    # Fake tensors refuse to mix devices, and to tell the host anything about what is on one.
    keys = np.eye(4)[np.arange(2 * num_cases) % 4]
    index = filled(np.repeat(np.arange(1, num_cases + 1), 2), keys.reshape(-1, 4))
    propose = on_the_cpu(index.keys) if num_cases == 0 else (lambda queries, m: queries[:, :1].long().expand(-1, m))
    with FakeTensorMode(shape_env=ShapeEnv()):  # how many queries are asked again is anybody's guess
        for search in (TorchSearch(index, "cuda"), FaissGpuSearch(index, "cuda", propose)):
            found = search.search(torch.zeros(2000, 4, device="cuda"), 5, 0.9)
            assert {column.device.type for column in vars(found).values()} == {"cuda"}
            assert found.case_ids.shape == found.similarity.shape == found.valid.shape == (2000, 5)
            assert found.hit.device.type == "cuda"
            with pytest.raises(RuntimeError, match="two different devices"):
                search.search(torch.zeros(2, 4), 5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_answers_of_faiss_on_the_cpu(monkeypatch):
    rng = np.random.default_rng(0)
    index = filled(np.repeat(np.arange(1, 2001), 2), rng.normal(size=(4000, 512)))
    queries = np.float32(index.keys[rng.integers(0, 4000, 3000)] + 0.01 * rng.normal(size=(3000, 512)))
    searches = [make_search(index, "cuda:0")]
    if faiss.get_num_gpus() > 0:
        monkeypatch.setenv(FAISS_GPU_VARIABLE, "1")
        searches.append(make_search(index, "cuda:0"))
    for search in searches:
        found = search.search(torch.from_numpy(queries).cuda(), 5, 0.5)
        assert_same(DeviceHits(*(column.cpu() for column in vars(found).values())), index, queries, 5, 0.5)
