using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Cli;

namespace CudaLora.Bench.Processes;

/// <summary>
/// <c>process</c>: publishes the command line in every form, and measures whole processes of each: start, first token,
/// a short training run; what they take on disk and in memory; and <c>import torch</c> beside them.
/// </summary>
internal static class ProcessBench
{
    private const string Usage = "process takes --output DIR, --repeats N, --forms NAME,NAME";

    public static int Run(string[] args)
    {
        var (output, repeats, forms) = (Path.Combine("out", "process"), 12, PublishedForm.All);
        for (var i = 0; i < args.Length; i += 2)
        {
            var value = i + 1 < args.Length ? args[i + 1] : "";
            var names = value.Split(',');
            if (args[i] == "--output" && value.Length > 0)
                output = value;
            else if (args[i] == "--repeats"
                && int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n > 0)
                repeats = n;
            else if (args[i] == "--forms" && names.All(name => PublishedForm.All.Any(form => form.Name == name)))
                forms = [.. PublishedForm.All.Where(form => names.Contains(form.Name))];
            else
                return Fail($"{Usage}; the forms are {string.Join(", ", PublishedForm.All.Select(f => f.Name))}", 2);
        }
        if (!ChildProcess.IsSupported) return Fail("process counts memory as 64-bit Linux does, and runs only there", 1);
        if (Root() is not { } root) return Fail("process publishes lora/cli: run it in the repository", 1);
        Console.WriteLine($"{forms.Count} forms, {repeats} runs each");
        var work = Directory.CreateTempSubdirectory("cudalora-process-");
        try
        {
            var measured = Publish(root, work.FullName, forms);
            var torch = TorchImport.Find();
            var import = new ProcessTimes();
            Measure(measured, work.FullName, repeats, torch, import);
            ProcessReport.Write(output, Report(measured, torch, import, args));
            return measured.Count == forms.Count ? 0 : 1;
        }
        finally
        {
            work.Delete(recursive: true);
        }
    }

    private static List<MeasuredForm> Publish(string root, string work, IReadOnlyList<PublishedForm> forms)
    {
        var published = new List<MeasuredForm>();
        foreach (var form in forms)
        {
            Console.WriteLine(form.Command);
            try
            {
                published.Add(new MeasuredForm(form, form.Publish(root, Path.Combine(work, form.Name))));
            }
            catch (InvalidOperationException e)
            {
                Console.Error.WriteLine(e.Message);
            }
        }
        return published;
    }

    // The forms take turns, so that what else the machine does falls on all of them.
    private static void Measure(
        List<MeasuredForm> forms, string work, int repeats, TorchImport? torch, ProcessTimes import)
    {
        var folder = Directory.CreateDirectory(Path.Combine(work, "run")).FullName;
        foreach (var job in ProcessJob.All)
        {
            var runs = Math.Max(1, (int)Math.Round(repeats * job.Share));
            // One more: the first reads the files from the disk.
            for (var run = 0; run <= runs; run++)
                foreach (var form in forms)
                {
                    var sample = ChildProcess.Run(folder, [form.Program, .. job.Arguments]);
                    if (run > 0) form.Times[job.Name].Add(sample);
                }
            foreach (var form in forms) Console.WriteLine($"{form.Form.Label}: {job.Label}: {form.Times[job.Name]}");
        }
        for (var run = 0; torch is not null && run <= repeats; run++)
        {
            var sample = ChildProcess.Run(folder, [torch.Python, .. TorchImport.Code]);
            if (run > 0) import.Add(sample);
        }
        if (torch is not null) Console.WriteLine($"import torch: {import}");
        foreach (var form in forms) form.MeasureProduct(folder);
    }

    private static JsonObject Report(
        List<MeasuredForm> forms, TorchImport? torch, ProcessTimes import, string[] args)
    {
        var facts = BenchReport.FactsOf(string.Join(' ', ["process", .. args]), BenchBudget.Quick);
        facts.Remove("budget");
        facts["load"] = File.ReadAllText("/proc/loadavg").Split(' ')[0] + " in the last minute";
        return new JsonObject
        {
            ["facts"] = new JsonObject(facts.Select(
                fact => KeyValuePair.Create(fact.Key, (JsonNode?)JsonValue.Create(fact.Value)))),
            ["forms"] = new JsonArray([.. forms.Select(form => form.ToJson())]),
            ["torch"] = torch is null ? null : new JsonObject
            {
                ["version"] = torch.Version,
                ["package"] = TorchImport.Package,
                ["packages"] = torch.Packages,
                ["bytes"] = torch.Bytes,
                ["import"] = import.ToJson(),
            },
        };
    }

    private static string? Root()
    {
        var folder = new DirectoryInfo(Directory.GetCurrentDirectory());
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "CudaLora.sln"))) folder = folder.Parent;
        return folder?.FullName;
    }

    private static int Fail(string message, int code)
    {
        Console.Error.WriteLine(message);
        return code;
    }
}
