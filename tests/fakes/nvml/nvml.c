/* A stand-in for libnvidia-ml.so.1: the functions that the agent calls, for the unmodified pynvml.
 *
 * What it says is in the file that FAKE_NVML names, one figure a line, `WHO KEY VALUE`: WHO is a GPU's number, `all`
 * for every GPU, or `system`. Later lines win. It is read again whenever it was replaced, so a test changes the
 * machine under a running program. Without the file there is no driver. The keys and their defaults stand with the
 * functions below; beside them every function has `fail.SYMBOL CODE`, every GPU `lost 1` and `hang 1`, and
 * `system xid.N GPU CODE` is the Nth event (GPU -1: the machine's own, of no GPU). Written from the public interface of the library alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define GPUS_MAX 16
#define LINES_MAX 512
#define TEXT_MAX 160
#define NOT_AVAILABLE 0xFFFFFFFFFFFFFFFFull

typedef unsigned int u32;
typedef unsigned long long u64;
typedef enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9,
    TIMEOUT = 10, IS_LOST = 15, MISMATCH = 18, BAD_VERSION = 25
} code;

typedef struct { char who[16], key[64], value[TEXT_MAX]; } line;
typedef struct { int number, slice; } gpu; /* slice: of a GPU in MIG mode, else -1 */
typedef struct event_set { u64 wanted[GPUS_MAX]; int seen, watch; struct event_set *next; } event_set;

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static line lines[LINES_MAX];
static int line_count, failures; /* of the lines, those that let a call fail */
static struct stat read_as;
static int started;
static event_set *sets;
static gpu gpus[GPUS_MAX], slices[GPUS_MAX][8];

/* -- the file ------------------------------------------------------------------------------------------------- */

/* Whether nothing happened in the file's folder since the last call: to ask for the file each time costs more than a
 * call of the real library's Python, and would be measured as ours. */
static int quiet(const char *path) { /* guard is held */
    static char known[512], events[4096];
    static int watch = -1;
    static pid_t owner;
    const char *slash = strrchr(path, '/');
    if (watch < 0 || owner != getpid() || strcmp(path, known)) {
        if (watch >= 0) close(watch);
        watch = -1;
        if (!slash || strlen(path) >= sizeof known) return 0;
        char folder[512];
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
        watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (watch >= 0 && inotify_add_watch(watch, folder, IN_ALL_EVENTS & ~(IN_ACCESS | IN_OPEN | IN_CLOSE_NOWRITE)) < 0) {
            close(watch);
            watch = -1;
        }
        owner = getpid();
        strcpy(known, path);
        return 0;
    }
    if (read(watch, events, sizeof events) < 0) return errno == EAGAIN;
    while (read(watch, events, sizeof events) > 0) {}
    return 0;
}

static int refresh(void) { /* guard is held; 0 when there is no file */
    const char *path = getenv("FAKE_NVML");
    static int there;
    struct stat now;
    if (path && quiet(path) && there) return 1;
    there = path && !stat(path, &now);
    if (!there) return 0;
    if (now.st_ino == read_as.st_ino && now.st_mtim.tv_nsec == read_as.st_mtim.tv_nsec &&
        now.st_mtim.tv_sec == read_as.st_mtim.tv_sec && now.st_size == read_as.st_size)
        return 1;
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    line *at = lines;
    char text[320];
    while (at < lines + LINES_MAX && fgets(text, sizeof text, file))
        if (sscanf(text, "%15s %63s %159[^\n]", at->who, at->key, at->value) == 3) at++;
    fclose(file);
    line_count = (int)(at - lines);
    failures = 0;
    while (at-- > lines) failures += !strncmp(at->key, "fail.", 5);
    read_as = now;
    return 1;
}

static const char *find(const char *who, const char *key) {
    for (int i = line_count; i-- > 0;)
        if (!strcmp(lines[i].key, key) && (!strcmp(lines[i].who, who) || (*who != 's' && !strcmp(lines[i].who, "all"))))
            return lines[i].value;
    return NULL;
}

/* Numbers are written once: a dozen times for each call, as it was, cost as much as all the rest of it. */
static const char *name_of(int number) { /* guard is held */
    static char names[GPUS_MAX][16];
    if (number < 0) return "system";
    if (!*names[number]) snprintf(names[number], sizeof *names, "%d", number);
    return names[number];
}

static const char *text_of(int number, const char *key, const char *otherwise) {
    const char *found = find(name_of(number), key);
    return found ? found : otherwise;
}

static u64 figure(int number, const char *key, u64 otherwise) {
    const char *found = text_of(number, key, NULL);
    return found ? strtoull(found, NULL, 0) : otherwise;
}

static int count(void) {
    u64 wanted = figure(-1, "gpus", 1);
    return wanted > GPUS_MAX ? GPUS_MAX : (int)wanted;
}

/* -- gates: what every function asks first. On SUCCESS the guard is held, and `leave` gives it back ------------ */

static code leave(code result) {
    pthread_mutex_unlock(&guard);
    return result;
}

static code scripted(int number, const char *symbol) {
    char key[96];
    if (!failures) return SUCCESS;
    snprintf(key, sizeof key, "fail.%s", symbol);
    return (code)figure(number, key, SUCCESS);
}

static void pause_5ms(void) { nanosleep(&(struct timespec){0, 5000000}, NULL); }

static code enter(const char *symbol, int needs_start) {
    pthread_mutex_lock(&guard);
    if (!refresh()) return leave(NO_DRIVER);
    while (figure(-1, "hang", 0)) {
        pthread_mutex_unlock(&guard);
        pause_5ms();
        pthread_mutex_lock(&guard);
        if (!refresh()) return leave(NO_DRIVER);
    }
    if (figure(-1, "unloaded", 0)) return leave(NO_DRIVER);
    if (needs_start && !started) return leave(UNINITIALIZED);
    code wanted = scripted(-1, symbol);
    return wanted ? leave(wanted) : SUCCESS;
}

static code enter_gpu(const char *symbol, gpu *which) {
    code result = enter(symbol, 1);
    if (result) return result;
    if (!which || which->number >= count()) return leave(INVALID);
    while (figure(which->number, "hang", 0)) {
        pthread_mutex_unlock(&guard);
        pause_5ms();
        pthread_mutex_lock(&guard);
        if (!refresh()) return leave(NO_DRIVER);
    }
    if (figure(which->number, "lost", 0)) return leave(IS_LOST);
    code wanted = scripted(which->number, symbol);
    return wanted ? leave(wanted) : SUCCESS;
}

#define SYSTEM(symbol) do { code gate = enter(#symbol, 1); if (gate) return gate; } while (0)
#define GPU(symbol) do { code gate = enter_gpu(#symbol, which); if (gate) return gate; } while (0)
#define MINE(key, otherwise) figure(which->number, key, otherwise)
#define ONE(type, symbol, key, otherwise) \
    EXPORT code symbol(gpu *which, type *out) { GPU(symbol); *out = (type)MINE(key, otherwise); return leave(SUCCESS); }

static code copy(char *target, u32 room, const char *text) {
    if (strlen(text) >= room) return leave(TOO_SMALL);
    strcpy(target, text);
    return leave(SUCCESS);
}

/* -- the library ------------------------------------------------------------------------------------------------ */

EXPORT code nvmlInitWithFlags(u32 flags) {
    (void)flags;
    code result = enter("nvmlInitWithFlags", 0);
    if (result) return result;
    if (figure(-1, "mismatch", 0)) return leave(MISMATCH);
    started++;
    for (int number = 0; number < GPUS_MAX; number++) {
        gpus[number] = (gpu){number, -1};
        for (int slice = 0; slice < 8; slice++) slices[number][slice] = (gpu){number, slice};
    }
    return leave(SUCCESS);
}
EXPORT code nvmlShutdown(void) {
    pthread_mutex_lock(&guard);
    if (!started) return leave(UNINITIALIZED);
    if (!--started)
        for (event_set *set = sets; set; set = set->next) {
            if (set->watch >= 0) close(set->watch);
            set->watch = -1;
        }
    return leave(SUCCESS);
}
EXPORT const char *nvmlErrorString(code result) {
    switch (result) {
    case NO_DRIVER: return "Driver Not Loaded";
    case NOT_SUPPORTED: return "Not Supported";
    case IS_LOST: return "GPU is lost";
    case MISMATCH: return "RM has detected an NVML/RM version mismatch.";
    case TIMEOUT: return "Timeout";
    default: return "Unknown Error";
    }
}
EXPORT code nvmlSystemGetDriverVersion(char *out, u32 room) {
    SYSTEM(nvmlSystemGetDriverVersion);
    return copy(out, room, text_of(-1, "driver", "580.65.06"));
}
EXPORT code nvmlSystemGetCudaDriverVersion_v2(int *out) {
    SYSTEM(nvmlSystemGetCudaDriverVersion_v2);
    *out = (int)figure(-1, "cuda", 13000);
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetCount_v2(u32 *out) {
    SYSTEM(nvmlDeviceGetCount_v2);
    *out = (u32)count();
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetHandleByIndex_v2(u32 number, gpu **out) {
    SYSTEM(nvmlDeviceGetHandleByIndex_v2);
    if (number >= (u32)count()) return leave(INVALID);
    if (figure((int)number, "lost", 0)) return leave(IS_LOST);
    *out = &gpus[number];
    return leave(SUCCESS);
}
static void uuid_of(const gpu *which, char *out, size_t room) {
    char made[48];
    if (which->slice >= 0)
        snprintf(out, room, "MIG-00000000-0000-0000-%04d-%012d", which->slice, which->number);
    else {
        snprintf(made, sizeof made, "GPU-00000000-0000-0000-0000-%012d", which->number);
        snprintf(out, room, "%s", text_of(which->number, "uuid", made));
    }
}
EXPORT code nvmlDeviceGetHandleByUUID(const char *uuid, gpu **out) {
    SYSTEM(nvmlDeviceGetHandleByUUID);
    for (int number = 0; number < count(); number++) {
        char mine[96];
        uuid_of(&gpus[number], mine, sizeof mine);
        if (strcmp(mine, uuid)) continue;
        if (figure(number, "lost", 0)) return leave(IS_LOST);
        *out = &gpus[number];
        return leave(SUCCESS);
    }
    return leave(NOT_FOUND);
}
EXPORT code nvmlDeviceGetUUID(gpu *which, char *out, u32 room) {
    GPU(nvmlDeviceGetUUID);
    char mine[96];
    uuid_of(which, mine, sizeof mine);
    return copy(out, room, mine);
}
EXPORT code nvmlDeviceGetName(gpu *which, char *out, u32 room) {
    GPU(nvmlDeviceGetName);
    return copy(out, room, text_of(which->number, "name", "Stand-in GPU"));
}

/* -- memory, load, heat, power, clocks --------------------------------------------------------------------------- */

EXPORT code nvmlDeviceGetMemoryInfo(gpu *which, u64 *total_free_used) {
    GPU(nvmlDeviceGetMemoryInfo);
    if (MINE("unified", 0)) return leave(NOT_SUPPORTED);
    u64 total = MINE("memory_total", 80ull << 30), used = MINE("memory_used", 0);
    total_free_used[0] = total, total_free_used[1] = total - used, total_free_used[2] = used;
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetUtilizationRates(gpu *which, u32 *gpu_memory) {
    GPU(nvmlDeviceGetUtilizationRates);
    if (which->slice >= 0 || MINE("slices", 0)) return leave(NOT_SUPPORTED);
    gpu_memory[0] = (u32)MINE("utilization", 0), gpu_memory[1] = (u32)MINE("memory_utilization", 0);
    return leave(SUCCESS);
}
static u32 drift(gpu *which) { /* `drift N`: temperature and power move by themselves, each second within N */
    u64 most = MINE("drift", 0);
    return most ? (u32)((u64)(time(NULL) + which->number) % most) : 0;
}
EXPORT code nvmlDeviceGetTemperature(gpu *which, u32 sensor, u32 *out) {
    (void)sensor;
    GPU(nvmlDeviceGetTemperature);
    *out = (u32)MINE("temperature", 40) + drift(which);
    return leave(SUCCESS);
}
typedef struct { u32 version, sensor; int degrees; } temperature_v1;
EXPORT code nvmlDeviceGetTemperatureV(gpu *which, temperature_v1 *out) {
    GPU(nvmlDeviceGetTemperatureV);
    if (out->version != (sizeof *out | 1u << 24)) return leave(BAD_VERSION);
    out->degrees = (int)MINE("temperature", 40) + (int)drift(which);
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetTemperatureThreshold(gpu *which, u32 kind, u32 *out) {
    GPU(nvmlDeviceGetTemperatureThreshold);
    *out = (u32)(kind == 1 ? MINE("slowdown", 90) : MINE("shutdown", 95));
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetPowerUsage(gpu *which, u32 *out) {
    GPU(nvmlDeviceGetPowerUsage);
    *out = (u32)MINE("power_mw", 90000) + 1000 * drift(which);
    return leave(SUCCESS);
}
ONE(u32, nvmlDeviceGetEnforcedPowerLimit, "power_limit_mw", 700000)
ONE(u64, nvmlDeviceGetTotalEnergyConsumption, "energy_mj", 1000)
ONE(u32, nvmlDeviceGetFanSpeed, "fan", 30)
ONE(u64, nvmlDeviceGetCurrentClocksEventReasons, "reasons", 0)
ONE(u64, nvmlDeviceGetCurrentClocksThrottleReasons, "reasons", 0)
EXPORT code nvmlDeviceGetClockInfo(gpu *which, u32 kind, u32 *out) {
    GPU(nvmlDeviceGetClockInfo);
    *out = (u32)(kind == 2 ? MINE("clock_memory", 2600) : MINE("clock_sm", 1980));
    return leave(SUCCESS);
}

/* -- memory errors, links ---------------------------------------------------------------------------------------- */

EXPORT code nvmlDeviceGetTotalEccErrors(gpu *which, u32 kind, u32 since, u64 *out) {
    GPU(nvmlDeviceGetTotalEccErrors);
    if (!MINE("ecc", 1)) return leave(NOT_SUPPORTED);
    *out = since ? MINE("ecc_ever", 0) : kind ? MINE("ecc_uncorrectable", 0) : MINE("ecc_corrected", 0);
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetRemappedRows(gpu *which, u32 *corrected, u32 *uncorrectable, u32 *pending, u32 *failed) {
    GPU(nvmlDeviceGetRemappedRows);
    *corrected = (u32)MINE("rows_corrected", 0), *uncorrectable = (u32)MINE("rows_uncorrectable", 0);
    *pending = (u32)MINE("rows_pending", 0), *failed = (u32)MINE("rows_failed", 0);
    return leave(SUCCESS);
}
typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char address[32]; } pci_info;

EXPORT code nvmlDeviceGetPciInfo_v3(gpu *which, pci_info *out) {
    GPU(nvmlDeviceGetPciInfo_v3);
    memset(out, 0, sizeof *out);
    out->bus = 0x3b + (u32)which->number;
    snprintf(out->address, sizeof out->address, "00000000:%02X:00.0", out->bus);
    return leave(SUCCESS);
}

EXPORT code nvmlDeviceGetPcieThroughput(gpu *which, u32 direction, u32 *out) {
    GPU(nvmlDeviceGetPcieThroughput);
    *out = (u32)(direction ? MINE("pcie_received_kib", 512) : MINE("pcie_sent_kib", 256));
    return leave(SUCCESS);
}
ONE(u32, nvmlDeviceGetCurrPcieLinkGeneration, "pcie_generation", 5)
ONE(u32, nvmlDeviceGetCurrPcieLinkWidth, "pcie_width", 16)
ONE(u32, nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max", 16)
ONE(u32, nvmlDeviceGetPcieReplayCounter, "pcie_replays", 0)
EXPORT code nvmlDeviceGetNvLinkState(gpu *which, u32 link, u32 *out) {
    GPU(nvmlDeviceGetNvLinkState);
    if (link >= MINE("links", 4)) return leave(INVALID);
    *out = link < MINE("links_up", 4);
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetNvLinkErrorCounter(gpu *which, u32 link, u32 kind, u64 *out) {
    (void)kind;
    GPU(nvmlDeviceGetNvLinkErrorCounter);
    *out = link ? 0 : MINE("link_errors", 0);
    return leave(SUCCESS);
}

/* -- MIG and processes: `processes PID:BYTES,PID:?` ---------------------------------------------------------------- */

EXPORT code nvmlDeviceGetMigMode(gpu *which, u32 *now, u32 *next) {
    GPU(nvmlDeviceGetMigMode);
    *now = *next = MINE("slices", 0) > 0;
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetMaxMigDeviceCount(gpu *which, u32 *out) {
    GPU(nvmlDeviceGetMaxMigDeviceCount);
    *out = 7;
    return leave(SUCCESS);
}
EXPORT code nvmlDeviceGetMigDeviceHandleByIndex(gpu *which, u32 index, gpu **out) {
    GPU(nvmlDeviceGetMigDeviceHandleByIndex);
    if (index >= 8 || index >= MINE("slices", 0)) return leave(NOT_FOUND);
    *out = &slices[which->number][index];
    return leave(SUCCESS);
}
typedef struct { u32 pid; u64 used; u32 instance, compute_instance; } process;
EXPORT code nvmlDeviceGetComputeRunningProcesses_v3(gpu *which, u32 *room, process *out) {
    GPU(nvmlDeviceGetComputeRunningProcesses_v3);
    char text[TEXT_MAX], *rest = text;
    snprintf(text, sizeof text, "%s", text_of(which->number, "processes", ""));
    process found[32];
    u32 here = 0;
    for (char *word; here < 32 && (word = strsep(&rest, ","));) {
        char *used = strchr(word, ':');
        if (!used) continue;
        u64 bytes = used[1] == '?' ? NOT_AVAILABLE : strtoull(used + 1, NULL, 0);
        found[here++] = (process){(u32)atoi(word), bytes, ~0u, ~0u};
    }
    u32 given = *room;
    *room = here;
    if (!here) return leave(SUCCESS);
    if (!out || given < here) return leave(TOO_SMALL);
    memcpy(out, found, here * sizeof *found);
    return leave(SUCCESS);
}

/* -- events ------------------------------------------------------------------------------------------------------- */

#define XID 8ull
typedef struct { gpu *device; u64 kind, data; u32 instance, compute_instance; } event;

static int events(void) { /* how many `system xid.N` there are */
    int found = 0;
    for (int i = 0; i < line_count; i++) found += !strncmp(lines[i].key, "xid.", 4);
    return found;
}
static int watched(void) { /* the folder of the file: a blocked wait costs nothing, as with the real library */
    char folder[TEXT_MAX * 2];
    const char *path = getenv("FAKE_NVML");
    snprintf(folder, sizeof folder, "%s", path ? path : "/");
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) *slash = 0;
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch >= 0) inotify_add_watch(watch, folder, IN_MOVED_TO | IN_CLOSE_WRITE);
    return watch;
}

EXPORT code nvmlEventSetCreate(event_set **out) {
    SYSTEM(nvmlEventSetCreate);
    *out = calloc(1, sizeof **out);
    (*out)->seen = events(); /* what happened before is not told */
    (*out)->watch = watched();
    (*out)->next = sets;
    sets = *out;
    return leave(SUCCESS);
}
ONE(u64, nvmlDeviceGetSupportedEventTypes, "event_types", 0x1f)
EXPORT code nvmlDeviceRegisterEvents(gpu *which, u64 kinds, event_set *set) {
    GPU(nvmlDeviceRegisterEvents);
    if (kinds & ~MINE("event_types", 0x1f)) return leave(NOT_SUPPORTED);
    set->wanted[which->number] |= kinds;
    return leave(SUCCESS);
}
static int wait_for_change(int watch, u32 most_ms) { /* 0 when nothing changed */
    char news[4096];
    struct pollfd ready = {watch, POLLIN, 0};
    int changed = poll(&ready, 1, (int)most_ms);
    while (changed > 0 && read(watch, news, sizeof news) > 0) {}
    return changed;
}

static code next_event(event_set *set, event *out) {
    SYSTEM(nvmlEventSetWait_v2);
    for (int i = 0, nth = 0; i < line_count; i++) {
        int number, xid;
        if (strncmp(lines[i].key, "xid.", 4) || ++nth <= set->seen) continue;
        set->seen = nth;
        if (sscanf(lines[i].value, "%d %d", &number, &xid) != 2) continue;
        if (number >= 0 && !(set->wanted[number] & XID)) continue;
        *out = (event){number < 0 ? NULL : &gpus[number], XID, (u64)xid, ~0u, ~0u};
        return leave(SUCCESS);
    }
    return leave(TIMEOUT);
}

EXPORT code nvmlEventSetWait_v2(event_set *set, event *out, u32 wait_ms) {
    code found = next_event(set, out);
    while (found == TIMEOUT && wait_for_change(set->watch, wait_ms)) found = next_event(set, out);
    return found;
}
EXPORT code nvmlEventSetFree(event_set *set) {
    pthread_mutex_lock(&guard);
    event_set **at = &sets;
    while (*at && *at != set) at = &(*at)->next;
    if (*at) *at = set->next;
    if (set->watch >= 0) close(set->watch);
    free(set);
    return leave(SUCCESS);
}
