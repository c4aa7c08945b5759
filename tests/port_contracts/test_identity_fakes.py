"""Fakes and adapters of identity's outside behave alike."""

from pathlib import Path

import pytest

from adapters.crypto.argon2_hashing import Argon2PasswordHashing
from adapters.mail.folder_mailbox import FolderMailbox
from shared_kernel.clock import SystemClock
from tests.fakes.mailer import InMemoryMailer
from tests.fakes.password_hashing import InMemoryPasswordHashing
from tests.port_contracts.mailer_contract import MailboxContract
from tests.port_contracts.password_hashing_contract import PasswordHashingContract


class TestInMemoryPasswordHashing(PasswordHashingContract):
    def make(self) -> InMemoryPasswordHashing:
        return InMemoryPasswordHashing()


class TestArgon2PasswordHashing(PasswordHashingContract):
    def make(self) -> Argon2PasswordHashing:
        return Argon2PasswordHashing()


class TestInMemoryMailer(MailboxContract):
    def make(self) -> InMemoryMailer:
        return InMemoryMailer(SystemClock())


class TestFolderMailbox(MailboxContract):
    folder: Path

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> FolderMailbox:
        return FolderMailbox(self.folder, SystemClock())
