"""What counts as evidence: the fields of tshark that an observer without keys can fill.

QUIC's are among them, for the keys of Initial packets follow from the connection id (RFC 9001 section 5.2). Fields that
describe ciphertext (records of application data, sizes, timing) are not, and neither are those that tshark makes up
from other frames. Which of these a tshark knows depends on its version; what it does not know is named by the judge.
"""

GROUPS = {
    "TLS": """
        tls.handshake.type tls.handshake.version tls.handshake.random tls.handshake.session_id
        tls.handshake.ciphersuite tls.handshake.extension.type tls.handshake.extensions_server_name
        tls.handshake.extensions_alpn_str tls.handshake.extensions_supported_group
        tls.handshake.extensions_ec_point_format tls.handshake.extensions.supported_version
        tls.handshake.extensions_key_share_group tls.handshake.extensions_key_share_selected_group
        tls.handshake.extensions.psk.identity.identity tls.handshake.extensions.cookie
        tls.handshake.extensions_reneg_info_len tls.handshake.sig_hash_alg tls.handshake.ja3 tls.handshake.ja3_full
        tls.handshake.ja3s tls.handshake.ja3s_full tls.handshake.ja4 tls.handshake.certificate
        tls.handshake.dname tls.handshake.cert_type tls.handshake.server_named_curve tls.handshake.sig
        tls.handshake.client_point tls.handshake.epms tls.handshake.session_ticket tls.alert_message.desc
        tls.heartbeat_message.type ssl2.handshake.type x509af.serialNumber x509sat.uTF8String
        x509sat.printableString x509ce.dNSName x509af.utcTime ocsp.certStatus""",
    "DTLS": """
        dtls.handshake.type dtls.handshake.extensions_server_name dtls.handshake.ja3 dtls.handshake.ja3s
        dtls.handshake.ciphersuite dtls.handshake.extension.type dtls.handshake.certificate dtls.handshake.cookie
        dtls.alert_message.desc dtls.connection_id""",
    "QUIC": """
        quic.version quic.supported_version quic.long.packet_type quic.dcid quic.scid quic.token quic.retry_token
        gquic.tag gquic.version gquic.tag.sni""",
    "SSH": """
        ssh.protocol ssh.kex.hassh ssh.kex.hasshserver ssh.kex_algorithms ssh.server_host_key_algorithms
        ssh.encryption_algorithms_client_to_server ssh.mac_algorithms_client_to_server
        ssh.compression_algorithms_client_to_server ssh.message_code ssh.host_key.type ssh.host_key.data""",
    "IPsec": """
        isakmp.exchangetype isakmp.ispi isakmp.rspi isakmp.messageid isakmp.vid_bytes isakmp.tf.id.encr
        isakmp.tf.id.dh isakmp.tf.id.prf isakmp.key_exchange.data isakmp.nonce isakmp.notify.msgtype
        isakmp.id.data isakmp.id.data.fqdn isakmp.cert.encoding isakmp.frag.number esp.spi esp.sequence""",
    "VPN": """
        wg.type wg.sender wg.receiver wg.ephemeral wg.counter openvpn.opcode openvpn.keyid openvpn.sessionid
        openvpn.rsessionid openvpn.mpid""",
    "media": """
        stun.type stun.id stun.att.type stun.att.username stun.att.software stun.att.realm stun.att.error
        stun.att.ipv4 stun.att.port rtp.ssrc rtp.seq rtp.p_type rtcp.pt rtcp.senderssrc rtsp.method sip.Method
        sip.Status-Code sip.from.user sip.to.user sdp.media""",
    "mail and files": """
        smtp.req.command smtp.req.parameter smtp.response.code smtp.auth.username imap.request imap.response
        pop.request.command pop.request.parameter ftp.request.command ftp.request.arg ftp.response.code
        tftp.opcode tftp.source_file smb2.cmd smb2.filename smb.cmd nfs.name ntlmssp.auth.username
        ntlmssp.auth.domain ntlmssp.auth.hostname""",
    "names and logins": """
        dns.id dns.qry.name dns.a dns.aaaa dns.cname dns.txt dns.flags.rcode kerberos.CNameString
        kerberos.SNameString kerberos.msg_type ldap.messageID ldap.name radius.code radius.User_Name dhcp.type
        dhcp.option.hostname snmp.name snmp.community socks.command socks.username ntp.stratum""",
    "web": """
        http.request.method http.request.uri http.host http.response.code http.user_agent http.cookie
        http.content_type http.authbasic http2.headers.path http2.headers.authority http2.type websocket.opcode""",
    "other": """
        rdp.rt_cookie rdp.neg_type mqtt.msgtype mqtt.topic mqtt.username modbus.func_code dnp3.al.func
        s7comm.param.func cip.service bacapp.confirmed_service mysql.command mysql.user mysql.version
        mysql.query pgsql.type pgsql.parameter_name pgsql.parameter_value pgsql.query tds.type telnet.data
        irc.request irc.response bittorrent.info_hash xmpp.jid vnc.server_proto_ver pptp.type gtpv2.message_type
        tcp.flags.str icmp.type icmpv6.type arp.opcode""",
}
FIELDS = [name for names in GROUPS.values() for name in names.split()]

# What ties a value to its conversation; all layers of a tunnel.
FLOW = ["ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport"]
