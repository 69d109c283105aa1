"""What a connection knows of who is at its end."""

from kubernetes.aio.client import Configuration

from retl.apiserver.access import anonymous


def test_a_connection_for_others_leads_to_the_same_server_and_shows_nothing_of_ours() -> None:
    ours = Configuration()
    ours.host, ours.ssl_ca_cert, ours.tls_server_name = "https://server:6443", "/ca.crt", "kubernetes"
    ours.cert_file, ours.key_file = "/ours.crt", "/ours.key"
    ours.username, ours.password, ours.access_token = "ours", "ours", "ours"
    ours.api_key = {"BearerToken": "Bearer ours"}
    setattr(ours, "refresh_api_key_hook", print)  # noqa: B010 - its type is not told

    bare = anonymous(ours)

    assert (bare.host, bare.ssl_ca_cert, bare.tls_server_name) == ("https://server:6443", "/ca.crt", "kubernetes")
    assert not any("ours" in str(value) for name, value in vars(bare).items() if name != "logger")
    assert bare.refresh_api_key_hook is None
