"""AccountService."""

from __future__ import annotations

import grpc
from flute.v1 import account_service_pb2 as pb
from flute.v1.account_service_pb2_grpc import AccountServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import accounts, people
from flute_server.admin.find import find
from flute_server.models import Account
from flute_server.rpc.convert import timestamp
from flute_server.rpc.masks import require_only
from flute_server.rpc.principal import author, require_person, visit


class AccountServicer(AccountServiceServicer):
    """The tenants."""

    def CreateAccount(self, request: pb.CreateAccountRequest, context: grpc.ServicerContext) -> pb.Account:
        return _account(accounts.create(request.name, request.owner_email, request.owner_password, author()))

    def GetAccount(self, request: pb.GetAccountRequest, context: grpc.ServicerContext) -> pb.Account:
        return _account(find(Account, request.id))

    def UpdateAccount(self, request: pb.UpdateAccountRequest, context: grpc.ServicerContext) -> pb.Account:
        require_only(request.update_mask, "name")
        return _account(accounts.rename(request.account.id, request.account.name, author()))

    def CreateOwnAccount(
        self, request: pb.CreateOwnAccountRequest, context: grpc.ServicerContext
    ) -> pb.Account:
        person = require_person()
        allowed = people.may_create_account(person)
        return _account(accounts.create_own(person, request.name, visit(), allowed=allowed))

    def ListAccounts(
        self, request: pb.ListAccountsRequest, context: grpc.ServicerContext
    ) -> pb.ListAccountsResponse:
        rows, token = accounts.list_page(request.page_size, request.page_token)
        return pb.ListAccountsResponse(accounts=map(_account, rows), next_page_token=token)

    def DeleteAccount(self, request: pb.DeleteAccountRequest, context: grpc.ServicerContext) -> Empty:
        accounts.delete(request.id, request.confirm_name, author())
        return Empty()


def _account(row: Account) -> pb.Account:
    return pb.Account(id=str(row.id), name=row.name, create_time=timestamp(row.create_time))
