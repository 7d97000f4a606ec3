/*
 * log: one line per event to standard error: time, level, component, text. Control characters are escaped, so a
 * guest cannot forge lines. The sink and level live in the process (the only mutable global outside main: a logger
 * handed to every function would cost more than it gives). Any thread.
 */
#ifndef SBX_BASE_LOG_H
#define SBX_BASE_LOG_H

enum log_level { LOG_ERROR_, LOG_WARN_, LOG_INFO_, LOG_DEBUG_ };

void log_set_level(enum log_level level); /* default LOG_INFO_; $SBX_LOG = error|warn|info|debug wins */
void log_init_from_env(void);
void log_line(enum log_level level, const char *component, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_error(component, ...) log_line(LOG_ERROR_, component, __VA_ARGS__)
#define log_warn(component, ...) log_line(LOG_WARN_, component, __VA_ARGS__)
#define log_info(component, ...) log_line(LOG_INFO_, component, __VA_ARGS__)
#define log_debug(component, ...) log_line(LOG_DEBUG_, component, __VA_ARGS__)

#endif
