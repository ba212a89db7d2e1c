using System.Diagnostics;
using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using SkiaSharp;

namespace CudaLora.Tests;

/// <summary>A page as headless Chromium shows it. Where none is installed, its tests are skipped.</summary>
internal sealed partial class Browser : IDisposable
{
    private const int Width = 1100;

    private static readonly string[] Names =
        ["chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable", "chrome"];

    // What the page looks like from inside, as JSON at its end. Each picture's text is laid out once more in the page:
    // inside an <img> it cannot be asked for.
    private const string Probe = """
        <script>
        addEventListener('load', () => {
          const rect = e => {
            const r = e.getBoundingClientRect();
            return { x: r.x, y: r.y, w: r.width, h: r.height };
          };
          const found = {
            width: innerWidth, scrollWidth: document.documentElement.scrollWidth,
            height: document.documentElement.scrollHeight,
            requests: performance.getEntriesByType('resource').map(r => r.name),
            headings: [...document.querySelectorAll('section h2')].map(h => ({
              section: h.parentElement.id, text: h.textContent, ...rect(h) })),
            images: [...document.images].map(i => ({
              section: i.closest('section')?.id, alt: i.alt, natural: i.naturalWidth, ...rect(i) })),
            overlaps: [],
          };
          for (const image of document.images) {
            const data = image.src.match(/^data:image\/svg\+xml;base64,(.*)$/);
            if (!data) continue;
            const box = document.createElement('div');
            const bytes = Uint8Array.from(atob(data[1]), c => c.charCodeAt(0));
            box.innerHTML = new TextDecoder().decode(bytes).replace(/<\?xml[^>]*>/, '');
            document.body.append(box);
            const frame = box.querySelector('svg').getBoundingClientRect();
            const texts = [...box.querySelectorAll('text')].filter(t => t.textContent.trim())
              .map(t => ({ text: t.textContent, r: t.getBoundingClientRect() }));
            texts.forEach((a, i) => {
              if (a.r.left < frame.left - 1 || a.r.right > frame.right + 1 || a.r.top < frame.top - 1
                || a.r.bottom > frame.bottom + 1) found.overlaps.push(`${image.alt}: '${a.text}' is cut`);
              for (const b of texts.slice(i + 1)) {
                const x = Math.min(a.r.right, b.r.right) - Math.max(a.r.left, b.r.left);
                const y = Math.min(a.r.bottom, b.r.bottom) - Math.max(a.r.top, b.r.top);
                // Line boxes are taller than letters.
                if (x > 1 && y > 0.4 * Math.min(a.r.height, b.r.height))
                  found.overlaps.push(`${image.alt}: '${a.text}' lies on '${b.text}'`);
              }
            });
            box.remove();
          }
          const out = document.createElement('pre');
          out.id = 'probe';
          out.textContent = JSON.stringify(found);
          document.body.append(out);
        });
        </script>
        """;

    private readonly TemporaryFolder folder = new();
    private readonly string program;

    private Browser(string program) => this.program = program;

    /// <summary>What the page wrote to the console.</summary>
    public List<string> Console { get; } = [];

    /// <summary>Skips the test where there is no browser.</summary>
    public static Browser FindOrSkip()
    {
        var found = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .SelectMany(directory => Names.Select(name => Path.Combine(directory, name)))
            .FirstOrDefault(File.Exists);
        Assert.SkipUnless(found is not null, $"no browser on PATH ({string.Join(", ", Names)})");
        return new Browser(found!);
    }

    /// <summary>
    /// Lays the page out: <c>width, scrollWidth, height, requests, headings, images, overlaps</c>, in pixels of the
    /// page.
    /// </summary>
    public JsonNode Measure(string html)
    {
        var dom = Run(Save(html.Replace("</body>", Probe + "</body>", StringComparison.Ordinal)), 900, "--dump-dom");
        var probe = Result().Match(dom);
        Assert.True(probe.Success, $"the page did not report its layout:\n{dom[..Math.Min(2000, dom.Length)]}");
        return JsonNode.Parse(WebUtility.HtmlDecode(probe.Groups[1].Value))!;
    }

    /// <summary>The whole page as a picture.</summary>
    public SKBitmap Screenshot(string html, int height)
    {
        var file = folder.File("page.png");
        Run(Save(html), height, $"--screenshot={file}");
        return SKBitmap.Decode(file);
    }

    public void Dispose() => folder.Dispose();

    private string Save(string html) => folder.Write("page.html", html);

    private string Run(string page, int height, string what)
    {
        // A profile of its own, no sandbox, which needs a kernel's leave, and no network: nothing is to be fetched.
        var start = new ProcessStartInfo(program)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList =
            {
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--force-device-scale-factor=1", "--host-resolver-rules=MAP * ~NOTFOUND",
                "--enable-logging=stderr", $"--window-size={Width},{height}",
                $"--user-data-dir={folder.File($"profile{Guid.NewGuid():N}")}", what, new Uri(page).AbsoluteUri,
            },
        };
        using var process = Process.Start(start)!;
        var (output, error) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        if (!process.WaitForExit(TimeSpan.FromMinutes(2)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{program} did not finish in two minutes");
        }
        Console.AddRange(error.Result.Split('\n').Where(line => line.Contains(":CONSOLE", StringComparison.Ordinal)));
        return output.Result;
    }

    [GeneratedRegex("""<pre id="probe">(.*?)</pre>""", RegexOptions.Singleline)]
    private static partial Regex Result();
}
