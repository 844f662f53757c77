"""Runs a program on a terminal: type.py PROGRAM [EXPRESSION KEYS]... types the keys when the screen shows the expression. Keys that
begin with ! are a command for the shell. What matched, if it is of an error, is printed, and fails."""
import fcntl, os, pty, re, select, struct, sys, termios, time
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 200, 0, 0))
    os.environ['TERM'] = 'xterm'
    os.execvp('sh', ['sh', '-c', 'exec ' + sys.argv[1]])
steps = list(zip(sys.argv[2::2], sys.argv[3::2]))
seen, failed, end = '', '', time.time() + 120
while time.time() < end:
    if select.select([fd], [], [], 0.1)[0]:
        try:
            seen += os.read(fd, 65536).decode(errors='replace')
        except OSError:
            break
    match = re.search(steps[0][0], seen) if steps else None
    if match:
        expression, keys = steps.pop(0)
        if 'E' in expression and ('rror' in expression or '0-9' in expression):
            failed = match.group(0)
        seen = ''
        if keys.startswith('!'):
            os.system(keys[1:])
        else:
            os.write(fd, keys.replace('\n', '\r').encode())
else:
    os.kill(pid, 9)
    failed = 'stuck at ' + repr(steps) + ' with ' + repr(seen)
status = os.waitpid(pid, 0)[1]
if failed:
    print(failed, file=sys.stderr)
sys.exit(1 if failed else os.waitstatus_to_exitcode(status))
