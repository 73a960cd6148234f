/* Takes every packet of queue 0 and accepts it: the least that a firewall in user space does. Says `ready` first. */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE 0
/* Bytes of each packet that are copied: its headers. */
#define RANGE 128

struct message {
    struct nlmsghdr header;
    struct nfgenmsg family;
    struct nlattr attribute;
    char value[32];
};

static int queue;

/* Sends a message of one attribute. */
static int tell(int type, int flags, int attribute, const void *value, size_t length) {
    struct message message = {0};
    message.header.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type;
    message.header.nlmsg_flags = NLM_F_REQUEST | flags;
    message.header.nlmsg_len = offsetof(struct message, value) + NLMSG_ALIGN(length);
    message.family.version = NFNETLINK_V0;
    message.family.res_id = htons(QUEUE);
    message.attribute.nla_type = attribute;
    message.attribute.nla_len = NLA_HDRLEN + length;
    memcpy(message.value, value, length);
    return send(queue, &message, message.header.nlmsg_len, 0) < 0 ? -1 : 0;
}

/* Sends one that configures, and hears whether it was taken. */
static int configure(int attribute, const void *value, size_t length) {
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[512];
    } answer;
    if (tell(NFQNL_MSG_CONFIG, NLM_F_ACK, attribute, value, length) < 0) return -1;
    if (recv(queue, &answer, sizeof answer, 0) < (ssize_t)offsetof(typeof(answer), rest)) return -1;
    return answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0 ? 0 : -1;
}

static void accept_packet(const struct nlmsghdr *header) {
    const char *at = (const char *)NLMSG_DATA(header) + NLMSG_ALIGN(sizeof(struct nfgenmsg));
    const char *end = (const char *)header + header->nlmsg_len;
    while (at + NLA_HDRLEN <= end) {
        const struct nlattr *attribute = (const struct nlattr *)at;
        if (attribute->nla_len < NLA_HDRLEN) return;
        if ((attribute->nla_type & NLA_TYPE_MASK) == NFQA_PACKET_HDR) {
            const struct nfqnl_msg_packet_hdr *packet = (const void *)(at + NLA_HDRLEN);
            struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(NF_ACCEPT), .id = packet->packet_id};
            tell(NFQNL_MSG_VERDICT, 0, NFQA_VERDICT_HDR, &verdict, sizeof verdict);
            return;
        }
        at += NLA_ALIGN(attribute->nla_len);
    }
}

int main(void) {
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct nfqnl_msg_config_cmd bind_queue = {.command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_INET)};
    struct nfqnl_msg_config_params copy = {.copy_range = htonl(RANGE), .copy_mode = NFQNL_COPY_PACKET};
    static char buffer[1 << 16] __attribute__((aligned(8)));

    queue = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    if (queue < 0 || connect(queue, (struct sockaddr *)&kernel, sizeof kernel) < 0 ||
        configure(NFQA_CFG_CMD, &bind_queue, sizeof bind_queue) < 0 ||
        configure(NFQA_CFG_PARAMS, &copy, sizeof copy) < 0) {
        perror("queue 0 cannot be had");
        return 1;
    }
    if (write(STDOUT_FILENO, "ready\n", 6) != 6) return 1;
    for (;;) {
        ssize_t length = recv(queue, buffer, sizeof buffer, 0);
        if (length < 0) continue;
        for (struct nlmsghdr *header = (void *)buffer; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length))
            if (header->nlmsg_type == (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)) accept_packet(header);
    }
}
