"""Leases against a real server, with a clock that the test sets: who dies loses its job, who lives keeps it."""

from collections.abc import Iterator
from typing import Any

import pytest
from rq.executions import Execution
from rq.job import Job, JobStatus

from service.embedded import EmbeddedValkey
from workers import leases
from workers.forking import ForkingWorker
from workers.leases import LEASE_SECONDS, Observed, Sweeper
from workers.queue import CPU_QUEUE, RETRY_SECONDS, LeasedQueue, connect, enqueue_once, find, reason_of
from workers.worker import LeasedJob


class Clock:
    """Seconds as the test has them pass."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class TestObserved:
    def test_age_counts_from_the_first_sight_of_a_value(self) -> None:
        clock = Clock()
        observed = Observed(clock=clock)
        assert observed.ages({"a": 1.0}) == {"a": 0.0}
        clock.seconds = 5.0
        assert observed.ages({"a": 1.0, "b": 1.0}) == {"a": 5.0, "b": 0.0}
        clock.seconds = 7.0
        assert observed.ages({"a": 2.0, "b": 1.0}) == {"a": 0.0, "b": 2.0}
        assert observed.ages({}) == {}
        assert observed.ages({"b": 1.0}) == {"b": 0.0}

    def test_an_observer_that_was_away_begins_anew(self) -> None:
        clock = Clock()
        observed = Observed(longest_gap=3.0, clock=clock)
        observed.ages({"a": 1.0})
        clock.seconds = 3.0
        assert observed.ages({"a": 1.0}) == {"a": 3.0}
        clock.seconds = 6.1
        assert observed.ages({"a": 1.0}) == {"a": 0.0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield connect(valkey.url, timeout=5.0)


class House:
    """A queue with a job in it, a worker, and one that looks after it; two seconds pass between its looks."""

    def __init__(self, connection: Any) -> None:
        connection.flushall()
        self.connection = connection
        self.queue = LeasedQueue(CPU_QUEUE, connection)
        self.worker = ForkingWorker(CPU_QUEUE, connection=connection)
        self.clock = Clock()
        self.sweeper = Sweeper(self.queue, clock=self.clock)
        enqueue_once(connection, print, ("never printed",), job_id="job")

    @property
    def job(self) -> Job:
        found = find(self.connection, "job")
        assert found is not None
        return found

    def take(self) -> Job:
        """Take a job from the queue."""
        found = LeasedQueue.dequeue_any([self.queue], None, connection=self.connection, job_class=LeasedJob)
        assert found is not None
        return found[0]

    def begin(self) -> Execution:
        """Take a job and begin it."""
        job = self.take()
        execution = self.worker.prepare_execution(job)
        assert self.worker.begins(job, self.queue, execution)
        return execution

    def look(self, seconds: float) -> None:
        """Look after the queue for so long."""
        self.sweeper.sweep()
        for _ in range(round(seconds / 2)):
            self.clock.seconds += 2.0
            self.sweeper.sweep()

    @property
    def queued(self) -> list[str]:
        return self.queue.get_job_ids()

    def nothing_else_left(self) -> bool:
        """Whether nothing of an execution is left behind."""
        names = {name.decode() for name in self.connection.keys("*exec*")}
        return not names - {self.worker.executions_key} and not self.connection.exists(self.worker._held.key)


@pytest.fixture
def house(server: Any) -> House:
    return House(server)


class TestLeases:
    def test_a_lost_one_puts_the_job_in_front_with_an_attempt_less(self, house: House) -> None:
        house.begin()
        enqueue_once(house.connection, print, (), job_id="later")
        house.look(LEASE_SECONDS - 1.0)
        assert house.queued == ["later"]
        house.look(4.0)
        assert house.queued == ["job", "later"]
        assert house.job.get_status() == JobStatus.QUEUED
        assert house.job.retries_left == len(RETRY_SECONDS) - 1
        assert house.nothing_else_left()

    def test_one_that_is_renewed_is_kept_whatever_the_wall_clock_says(self, house: House) -> None:
        execution = house.begin()
        for _ in range(10):
            house.look(5.0)
            assert house.worker.renewed(execution) == "held"
        assert house.queued == []
        house.queue.started_job_registry.cleanup(timestamp=4e9)  # RQ's own programs, a century ahead
        assert house.worker.renewed(execution) == "held"

    def test_who_comes_back_finds_it_lost_and_touches_nothing(self, house: House) -> None:
        execution = house.begin()
        house.look(LEASE_SECONDS + 4.0)
        assert house.worker.renewed(execution) == "lost"
        house.worker.handle_job_failure(house.job, house.queue, exc_string="late", execution=execution)
        assert house.queued == ["job"]
        assert house.job.get_status() == JobStatus.QUEUED
        house.begin()
        assert house.worker.renewed(execution) == "lost"

    def test_the_last_attempt_fails_the_job_and_says_why(self, house: House) -> None:
        for _ in range(len(RETRY_SECONDS) + 1):
            house.begin()
            house.look(LEASE_SECONDS + 4.0)
        assert house.queued == []
        assert house.job.get_status() == JobStatus.FAILED
        assert "no sign of life" in reason_of(house.job)
        assert house.nothing_else_left()

    def test_what_was_to_be_stopped_when_its_worker_died_is_stopped(self, house: House) -> None:
        execution = house.begin()
        leases.ask_to_stop(house.connection, execution)
        assert house.worker.renewed(execution) == "stop"
        house.look(LEASE_SECONDS + 4.0)
        assert house.job.get_status() == JobStatus.STOPPED
        assert house.nothing_else_left()

    def test_a_job_that_is_gone_leaves_nothing_behind(self, house: House) -> None:
        house.begin()
        house.connection.delete(house.job.key)
        house.look(LEASE_SECONDS + 4.0)
        assert house.queued == []
        assert house.nothing_else_left()


class TestDelivery:
    def test_twice_is_executed_once(self, house: House) -> None:
        house.queue.push_job_id("job")
        first = house.begin()
        job = house.take()
        second = house.worker.prepare_execution(job)
        assert not house.worker.begins(job, house.queue, second)
        assert house.worker.renewed(first) == "held"
        assert house.worker.renewed(second) == "lost"
        assert house.connection.llen(house.queue.intermediate_queue_key) == 0

    def test_a_cancelled_job_is_not_begun(self, house: House) -> None:
        job = house.take()
        house.job.cancel()
        assert not house.worker.begins(job, house.queue, house.worker.prepare_execution(job))
        assert house.job.get_status() == JobStatus.CANCELED
        assert house.nothing_else_left()

    def test_taken_but_not_begun_is_put_back(self, house: House) -> None:
        house.take()
        house.look(LEASE_SECONDS - 1.0)
        assert house.queued == []
        house.look(4.0)
        assert house.queued == ["job"]
        assert house.job.retries_left == len(RETRY_SECONDS)

    def test_registered_but_not_begun_too(self, house: House) -> None:
        house.worker.prepare_execution(house.take())
        house.look(LEASE_SECONDS + 4.0)
        assert house.queued == ["job"]
        assert house.nothing_else_left()
        assert house.connection.llen(house.queue.intermediate_queue_key) == 0


class TestRetries:
    def test_each_waits_longer_and_the_last_is_final(self, house: House) -> None:
        for attempt, seconds in enumerate((*RETRY_SECONDS, None)):
            execution = house.begin()
            assert execution.job is not None
            house.worker.handle_job_failure(execution.job, house.queue, exc_string="no luck", execution=execution)
            assert house.queued == []
            assert house.nothing_else_left()
            if seconds is None:
                break
            assert house.job.get_status() == JobStatus.SCHEDULED
            assert house.job.retries_left == len(RETRY_SECONDS) - 1 - attempt
            house.look(seconds - 1.0)
            assert house.queued == []
            house.look(2.0)
            assert house.queued == ["job"]
        assert house.job.get_status() == JobStatus.FAILED
        assert reason_of(house.job) == "no luck"


class TestPuttingBack:
    def test_a_job_that_is_nowhere(self, house: House) -> None:
        house.connection.delete(house.queue.key)
        assert leases.put_back(house.connection, house.job)
        assert not leases.put_back(house.connection, house.job)
        assert house.queued == ["job"]

    def test_none_that_is_somewhere(self, house: House) -> None:
        assert not leases.put_back(house.connection, house.job)
        job = house.take()
        assert not leases.put_back(house.connection, house.job)
        execution = house.worker.prepare_execution(job)
        assert house.worker.begins(job, house.queue, execution)
        assert not leases.put_back(house.connection, house.job)
        house.worker.handle_job_failure(job, house.queue, exc_string="no luck", execution=execution)
        assert not leases.put_back(house.connection, house.job)
        house.connection.delete(house.queue.scheduled_job_registry.key)
        house.job.cancel()
        assert not leases.put_back(house.connection, house.job)
