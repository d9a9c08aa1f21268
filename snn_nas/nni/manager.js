/*
 * Mends NNI 3.0's manager while it loads. Preloaded through NODE_OPTIONS=--require (see experiment.py); no file of the
 * NNI package is changed. Every edit names the exact text that it expects: if NNI's files differ, the manager refuses
 * to start and says which edit failed, for a half-mended manager is worse than a stock one.
 *
 *   SNN_NAS_HOST            the address to listen on (127.0.0.1; stock NNI listens on every interface)
 *   SNN_NAS_TUNER_TIMEOUT   seconds that the tuner may take to connect (60; stock NNI waits 10)
 */
'use strict';

const fs = require('fs');
const Module = require('module');
const path = require('path');

const main = process.argv[1] && fs.existsSync(process.argv[1]) ? fs.realpathSync(process.argv[1]) : '';
const [, root, program] = /^(.*[\\/]nni_node)[\\/](main|common[\\/]trial_keeper[\\/]main)\.js$/.exec(main) || [];
const host = process.env.SNN_NAS_HOST || '127.0.0.1';
const tunerTimeout = Number(process.env.SNN_NAS_TUNER_TIMEOUT || 60);

const COLUMNS = [
    'sequenceId', 'id', 'duration', 'status',
    'metric/accuracy', 'metric/energy_uJ', 'metric/synops', 'metric/parameters', 'metric/latency_steps',
    'metric/locality', 'metric/status',
];

const TITLE_WARNING = 'UNPROTECTED, no login: ';  // as in messages.py

const TABLE = 'static/static/js/616.8c67a119.chunk.js';

const EDITS = {
    /* Microsoft/nni#5726: parameters stand in one queue, and whichever trial asks first gets the head. Choose the
       trial's id before it is created, and keep its parameters under that id from then on. */
    'training_service/v3/compat.js': [
        [
            'this.parameters.push(form.hyperParameters.value);',
            'var snnNasId = require("common/utils").uniqueString(5);\n'
            + 'this.allocatedParameters.set(snnNasId, form.hyperParameters.value);',
        ],
        [
            "'trial_code', form.sequenceId);",
            "'trial_code', form.sequenceId, snnNasId);",
        ],
        [
            'trialId = await this.v3.createTrial(form.envId,',
            'this.allocatedParameters.set(form.id, form.hyperParameters.value);\n'
            + 'trialId = await this.v3.createTrial(form.envId,',
        ],
        // a trial that asks twice, after a lost reply, gets the same answer
        ['this.allocatedParameters.delete(trialId);', ''],
    ],

    'rest_server/index.js': [
        // the server has no login: it listens on loopback
        ['app.listen(this.port);', `app.listen(this.port, ${JSON.stringify(host)});`],
        // stopping need not wait five seconds for browsers to let go
        ['}, 5000);', '}, 500);'],
        // and a web site's script must not reach it through a name that resolves to loopback
        [
            'const app = globals_1.default.rest.getExpressApp();',
            'const app = globals_1.default.rest.getExpressApp();\n'
            + 'app.use((req, res, next) => snnNasLocal(req) ? next() : res.status(403).send("Wrong host"));',
        ],
        [
            'class RestServer {',
            `const snnNasHost = ${JSON.stringify(host)};\n`
            + 'const snnNasNames = ["localhost", "127.0.0.1", "[::1]"];\n'
            + 'function snnNasLocal(req) {\n'
            + '    if (snnNasHost !== "127.0.0.1") return true;\n'
            + '    const name = String(req.headers.host || "").replace(/:\\d+$/, "");\n'
            + '    const origin = /^https?:\\/\\/(\\[[^\\]]*\\]|[^:/]*)/.exec(String(req.headers.origin || ""));\n'
            + '    // a page of another site may not start trials here: browsers send its name along\n'
            + '    const foreign = req.headers.origin !== undefined && !(origin && snnNasNames.includes(origin[1]));\n'
            + '    return snnNasNames.includes(name) && !foreign;\n'
            + '}\n'
            + 'class RestServer {',
        ],
        // the table of trials shows the objectives, where the user has not chosen its columns
        [
            "router.get('*', express_1.default.static(webuiPath));",
            "router.get('*', (req, res, next) => {\n"
            + '    const text = globalThis.snnNasPages.get(req.path);\n'
            + '    return text === undefined ? next() : res.type("js").send(text);\n'
            + '});\n'
            + "router.get('*', express_1.default.static(webuiPath, { index: false }));",
        ],
        [
            "res.sendFile(path_1.default.join(webuiPath, 'index.html'));",
            'res.type("html").send(snnNasPage());',
        ],
        [
            'function fallbackRouter() {',
            'function snnNasPage() {\n'
            + '    const page = require("fs").readFileSync(path_1.default.join(webuiPath, "index.html"), "utf8");\n'
            + '    const key = JSON.stringify(`${globals_1.default.args.experimentId}_columns`);\n'
            + `    const columns = ${JSON.stringify(JSON.stringify(COLUMNS))};\n`
            + '    const chosen = `{ value: ${JSON.stringify(columns)}, time: Date.now(), expire: 2592e6 }`;\n'
            + '    const script = `localStorage.getItem(${key}) || localStorage.setItem(${key}, '
            + 'JSON.stringify(${chosen}));`;\n'
            + '    return page.replace("<head>", `<head><script>${script}</script>`);\n'
            + '}\n'
            + 'function fallbackRouter() {',
        ],
    ],

    // /trial-file/ID/NAME took "../" in both, and so served every file of the machine
    'rest_server/restHandler.js': [
        [
            "this.nniManager.getTrialFile(req.params['id'], filename).then(",
            "if (![req.params['id'], filename].every(part => /^[\\w-][\\w.-]*$/.test(part))) {\n"
            + "    res.status(404).send({ error: 'no such file' });\n"
            + '    return;\n'
            + '}\n'
            + "this.nniManager.getTrialFile(req.params['id'], filename).then(",
        ],
    ],

    // a machine that trials run on over SSH has our package, and with it NNI: nothing is upgraded there (see worker.py)
    'training_service/remote_v3/worker.js': [
        ['-m pip install nni --upgrade', '-c "import snn_nas.nni.worker"'],
        ['-m nni.tools.nni_manager_scripts.launch_trial_keeper', '-m snn_nas.nni.worker'],
    ],

    // a click on a column's title sorted by what the page had been one update before, so mostly not at all
    [TABLE]: [
        ['!p.slice().filter((e=>t.key===e.key))[0].isSortedDescending', '!t.isSortedDescending'],
    ],

    // the tuner's process has one thread for results and another for trials' ends: ours has one, see dispatcher.py
    'common/utils.js': [["'-m', 'nni', '--exp_params'", "'-m', 'snn_nas.nni.dispatcher', '--exp_params'"]],

    'core/tuner_command_channel.js': [
        ['}, 10000);', `}, ${1000 * tunerTimeout});`],
        ['Tuner did not connect in 10 seconds.', `Tuner did not connect in ${tunerTimeout} seconds.`],
    ],

    'core/nnimanager.js': [
        // while a result was being stored, its trial's end could overtake it: NNI's own tuners die of that
        [
            'this.onTrialJobMetrics(metric).catch((err) => {',
            'const snnNasBefore = this.snnNasTold;\n'
            + 'this.snnNasTold = this.onTrialJobMetrics(metric).then(() => snnNasBefore).catch((err) => {',
        ],
        [
            'let hyperParams = undefined;',
            'let hyperParams = undefined;\n'
            + 'if (!["WAITING", "RUNNING", "UNKNOWN"].includes(trialJobDetail.status)) await this.snnNasTold;',
        ],
        // our configurations' names warn of a stock manager, which this one is not
        [
            'this.log.info(`Starting experiment: ${this.experimentProfile.id}`);',
            'this.log.info(`Starting experiment: ${this.experimentProfile.id}`);\n'
            + `config.experimentName = config.experimentName?.replace(${JSON.stringify(TITLE_WARNING)}, "");`,
        ],
        // a trial's end is noticed, and its successor started, at the next look: look ten times a second, not twice
        ['this.pollInterval = 0.5;', 'this.pollInterval = 0.1;'],
        // say why the tuner failed, in the status that the web page and check-status show
        [
            "new Error('Dispatcher stream error, tuner may have crashed.')",
            "new Error('The tuner failed: ' + error.message)",
        ],
        // a tuner that is killed, or cannot even be imported, ends the experiment at once
        [
            'this.dispatcherPid = tunerProc.pid;',
            'this.dispatcherPid = tunerProc.pid;\n'
            + "tunerProc.on('exit', (code, signal) => {\n"
            + "    if (!['ERROR', 'STOPPING', 'STOPPED'].includes(this.status.status)) {\n"
            // it runs in a shell, which says by which signal it ended as 128 and the signal's number
            + "        const signals = Object.entries(require('os').constants.signals);\n"
            + '        const by = signal || signals.find(([, number]) => number === code - 128)?.[0];\n'
            + '        const how = by ? `was ended by ${by}` : `ended with exit code ${code}`;\n'
            + '        this.criticalError(new Error(`The tuner ${how}; see dispatcher.log and nnictl_stderr.log`));\n'
            + '    }\n'
            + '});',
        ],
        // a resumed experiment goes on counting trials where it was, not after the oldest unfinished one
        [
            'let maxSequeceId = 0;',
            'let maxSequeceId = allTrialJobs.reduce((max, job) => Math.max(max, job.sequenceId ?? -1), -1);',
        ],
    ],
};

/* On a machine that trials run on over SSH, NNI's keeper of trials has a server for them, on every interface too. */
const KEEPER_EDITS = {
    'rest_server/core.js': [['app.listen(this.port);', 'app.listen(this.port, "127.0.0.1");']],
};

function mended(name, edits) {
    const file = path.join(root, name);
    let text = fs.readFileSync(file, 'utf8');
    for (const [expected, replacement] of edits) {
        const pieces = text.split(expected);
        if (pieces.length !== 2) {
            throw new Error(`${file}: found ${pieces.length - 1} times instead of once: ${expected}`);
        }
        text = pieces.join(replacement);
    }
    return text;
}

function mend(edits) {
    const texts = new Map(Object.entries(edits).map(([name, each]) => [path.join(root, name), mended(name, each)]));
    globalThis.snnNasPages = new Map([[TABLE.slice('static'.length), texts.get(path.join(root, TABLE))]]);
    const compile = Module.prototype._compile;
    const loaded = new Set();
    Module.prototype._compile = function (content, filename) {
        loaded.add(filename);
        return compile.call(this, texts.get(filename) ?? content, filename);
    };
    // main.js requires everything at once but the training service and what browsers load: had an edit not been seen, say so
    setImmediate(() => {
        for (const file of texts.keys()) {
            if (!loaded.has(file) && !/training_service|static/.test(file)) {
                refuse(`${file} was not loaded`);
            }
        }
    });
    process.env.SNN_NAS_MANAGER = host;  // tells tuner and trials that their manager is mended
}

function refuse(reason) {
    console.error(`snn-nas: this is not the NNI 3.0 that we know how to mend. ${reason}`);
    process.exit(1);
}

if (program) {
    try {
        mend(program === 'main' ? EDITS : KEEPER_EDITS);
    } catch (error) {
        refuse(error.message);
    }
}
