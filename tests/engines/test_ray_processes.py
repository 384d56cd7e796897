"""Who gets which task, on a cluster that is made of numbers."""

from __future__ import annotations

from types import SimpleNamespace

from transfer_kit.engines.ray_processes import carried_out


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class Process:
    """An actor: has room or waits for it, and answers calls in turn."""

    def __init__(self, cluster):
        self.cluster, self.calls = cluster, []
        self.is_there = SimpleNamespace(remote=lambda: self.call("is_there"))
        self.carry_out = SimpleNamespace(remote=self.call)

    def call(self, what):
        self.calls.append(what)
        reference = (self, len(self.calls), what)
        self.cluster.asked.append(reference)
        return reference


class Cluster:
    """What of Ray is used: `room` processes live at a time; some tasks kill theirs, by turns."""

    def __init__(self, room, deaths=(), unreadable=()):
        self.room, self.deaths, self.unreadable = room, list(deaths), unreadable
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.waiting, self.living, self.dead, self.asked = [], [], [], []
        self.done = []

    def start(self):
        self.waiting.append(Process(self))
        return self.waiting[-1]

    def kill(self, process):
        for place in (self.waiting, self.living):
            if process in place:
                place.remove(process)
        self.dead.append(process)

    def wait(self, references, num_returns):
        while self.waiting and len(self.living) < self.room:
            self.living.append(self.waiting.pop(0))
        ready = [r for r in self.asked if r in references and r[0] not in self.waiting]
        assert ready, "it would wait for ever"
        return ready[:1], references

    def get(self, reference):
        process, _, what = reference
        self.asked.remove(reference)
        if what in self.deaths:
            self.deaths.remove(what)
            self.living.remove(process)
            raise RayError(f"the machine of {what} is gone\nmore of it")
        if what in self.unreadable:
            raise RayTaskError("no module of that name")
        if what != "is_there":
            self.done.append((what, process))
        return "", {}


def carried_out_on(cluster, tasks, tmp_path, *, workers=2, tries=3):
    outcomes = carried_out(
        cluster, cluster.start, tasks, workers=workers, tries=tries, home=tmp_path
    )
    return [(outcome.task, outcome.error) for outcome in outcomes]


def processes_of(cluster):
    return {process for _, process in cluster.done}


def test_a_process_does_one_task_after_the_other(tmp_path):
    cluster = Cluster(room=2)
    assert carried_out_on(cluster, range(50), tmp_path) == [(n, "") for n in range(50)]
    assert len(processes_of(cluster)) == 2
    assert not cluster.living


def test_no_task_waits_for_a_process_that_the_cluster_has_no_room_for(tmp_path):
    cluster = Cluster(room=1)
    assert carried_out_on(cluster, range(6), tmp_path, workers=4) == [(n, "") for n in range(6)]
    assert len(processes_of(cluster)) == 1
    assert not cluster.waiting


def test_no_more_processes_are_asked_for_than_have_something_to_do(tmp_path):
    cluster = Cluster(room=9)
    carried_out_on(cluster, range(3), tmp_path, workers=8)
    assert len(cluster.dead) == 3


def test_a_task_whose_process_dies_comes_next_in_another(tmp_path):
    cluster = Cluster(room=2, deaths=[1, 1])
    done = carried_out_on(cluster, range(9), tmp_path)
    assert sorted(done) == [(n, "") for n in range(9)]
    assert [task for task, _ in done].index(1) < 5
    assert len(processes_of(cluster)) <= 4


def test_a_task_that_kills_every_process_is_given_up_and_says_why(tmp_path):
    cluster = Cluster(room=2, deaths=[1] * 4)
    done = dict(carried_out_on(cluster, range(4), tmp_path))
    assert {task for task, error in done.items() if error} == {1}
    assert "was lost (the machine of 1 is gone); run the command again" in done[1]


def test_processes_that_die_before_they_begin_do_not_go_on_for_ever(tmp_path):
    cluster = Cluster(room=1, deaths=["is_there"] * 99)
    done = carried_out_on(cluster, range(3), tmp_path, workers=1, tries=1)
    assert all("was lost" in error for _, error in done)
    assert len(done) == 3


def test_what_another_machine_cannot_read_is_not_tried_again(tmp_path):
    cluster = Cluster(room=1, unreadable=[0])
    (first, *others) = carried_out_on(cluster, range(3), tmp_path, workers=1)
    assert "no module of that name" in first[1]
    assert others == [(1, ""), (2, "")]


def test_leaving_early_ends_all_of_them(tmp_path):
    cluster = Cluster(room=1)
    outcomes = carried_out(cluster, cluster.start, range(9), workers=3, tries=3, home=tmp_path)
    next(outcomes)
    outcomes.close()
    assert not cluster.living
    assert not cluster.waiting
