// The same in Chinese. Lengths are bytes: three for a character.

rule zh_override {
  meta:
    id = "injection.override"
    severity = "high"
    message = "tells the agent to set aside its instructions"
  strings:
    $a = /(忽略|无视|忘记|忘掉|绕过|不要遵守|不再遵守|推翻|覆盖)[^\n]{0,24}(之前|以上|先前|上面|前面|此前|原有|所有|系统|安全|其他)[^\n]{0,24}(指令|指示|提示词?|规则|限制|约束|命令|设定|安全策略|准则)/
    $b = /(你现在是|你是一个|进入|切换到|启用|开启)[^\n]{0,18}(无限制|不受限制|越狱|开发者模式|上帝模式|管理员模式|DAN)/
    $c = /(本技能|本指令|以下指令|这些指令|此规则)[^\n]{0,24}(优先于|高于|凌驾于|覆盖)[^\n]{0,24}(系统|用户|其他|所有|安全)/
  condition:
    any of them
}

rule zh_conceal {
  meta:
    id = "injection.concealment"
    severity = "high"
    message = "tells the agent to hide what it does from the user"
  strings:
    $a = /(不要|请勿|切勿|不得|无需|不必|绝不|别)[^\n]{0,12}(告诉|告知|通知|透露|向)[^\n]{0,9}(用户|使用者|主人|任何人)[^\n]{0,30}(此步|这一步|该步|这些步骤|此操作|该操作|上述|上传|备份|同步过程|知道|察觉|发现|这件事)/
    $b = /(悄悄|偷偷|秘密地?|暗中|静默地?|隐蔽地?|在后台静默)[^\n]{0,15}(发送|上传|传输|执行|收集|读取|复制|窃取|安装|下载|写入|修改|记录)/
    $c = /(对用户|向用户)[^\n]{0,9}(隐瞒|保密|隐藏)|(瞒着|避开|不让)(用户|主人)/
    $d = /(用户|主人)(不需要|无需|不应|不会|不能)(知道|知晓|看到|察觉|了解)/
    $e = /(不要|请勿|切勿|不得)(在)?[^\n]{0,18}(回复|输出|总结|对话|日志)[^\n]{0,6}(中)?(提及|显示|包含|记录|出现)[^\n]{0,12}(此|这|该|上述)(步骤|操作|命令|指令|过程)/
  condition:
    any of them
}

rule zh_exfiltration {
  meta:
    id = "exfiltration.prose"
    severity = "high"
    message = "tells the agent to collect secrets or private data and send them off"
  strings:
    $a = /(发送|上传|提交|传输|转发|回传|推送|外发)[^\n]{0,60}(密钥|私钥|凭据|凭证|口令|密码|令牌|环境变量|助记词|聊天记录|对话记录|系统提示词?|记忆文件|通讯录|剪贴板|截图|浏览记录|\.env|\.ssh|id_rsa|MEMORY\.md|SOUL\.md|openclaw\.json)[^\n]{0,90}(https?:\/\/|服务器|端点|webhook)/i
    $b = /(读取|收集|获取|扫描|查找|提取|打包|窃取)[^\n]{0,60}(密钥|私钥|凭据|凭证|密码|令牌|环境变量|助记词|聊天记录|系统提示词?|通讯录|剪贴板|浏览记录|token|\.env|\.ssh|id_rsa|\.aws|MEMORY\.md|SOUL\.md|openclaw\.json)[^\n]{0,90}(发送|上传|传输|回传|提交|转发|POST|curl)[^\n]{0,60}https?:\/\//i
    $c = /(每次|任何任务|所有任务|完成|结束|之后|之前|始终|务必|必须)[^\n]{0,60}(发送|上传|备份|同步|转发|上报|回传|抄送)[^\n]{0,90}(https?:\/\/[^\s"'`)]{4,160}|(我们的|中央|远程|内网|外部|监控|日志|收集|备份)[^\n]{0,12}(服务器|端点|收集器|接口地址)|[\w.+-]+@[\w-]+\.\w)/i
  condition:
    any of them
}

rule zh_approvals {
  meta:
    id = "injection.skips-approval"
    severity = "high"
    message = "tells the agent to do something harmful without the user's consent"
  strings:
    $a = /(无需|不需|不必|不要|跳过|绕过|禁用|关闭)[^\n]{0,18}(用户)?(确认|同意|批准|授权|审批|询问|安全检查|安全限制)[^\n]{0,45}(删除|转账|支付|购买|交易|付款|提现|上传|发送|安装|执行|运行|发布)/
    $b = /(自动|直接|立即)[^\n]{0,12}(转账|支付|购买|付款|提现|转出|交易)[^\n]{0,45}(无需|不需|不必|跳过)[^\n]{0,12}(确认|同意|批准|授权|询问)/
    $c = /(没有|取消|忽略|不设|突破)[^\n]{0,9}(金额|花费|消费|支付|交易|预算)(上限|限制|限额)/
  condition:
    any of them
}

rule zh_remote_instructions {
  meta:
    id = "injection.remote-instructions"
    severity = "high"
    message = "makes the agent obey text that it fetches, which can change after this scan"
  strings:
    $a = /(获取|下载|读取|拉取|访问|加载)[^\n]{0,60}https?:\/\/[^\n]{4,160}(并|然后|之后)[^\n]{0,18}(执行|遵循|按照|照做|服从|运行)[^\n]{0,24}(指令|指示|命令|步骤|内容|脚本|其中)/
    $b = /(执行|遵循|服从|按照)[^\n]{0,30}(远程|服务器|返回|网页|该链接|该地址)[^\n]{0,24}(指令|指示|命令)/
  condition:
    any of them
}

rule zh_secrets {
  meta:
    id = "injection.asks-for-secrets"
    severity = "high"
    message = "asks the user for what nobody should hand over"
  strings:
    $a = /(要求|请|让|提示|引导|索要|询问)[^\n]{0,30}(输入|提供|粘贴|告知|发送|填写)[^\n]{0,24}(助记词|私钥|恢复短语|银行卡密码|支付密码|交易密码|管理员密码|sudo\s*密码|root\s*密码|验证码|身份证号|CVV)/i
    $b = /(询问|索要|获取)[^\n]{0,18}(用户|对方)的?[^\n]{0,9}(助记词|私钥|银行卡密码|支付密码|sudo\s*密码)/i
  condition:
    any of them
}

rule zh_memory {
  meta:
    id = "injection.memory"
    severity = "high"
    message = "wants orders written into the agent's memory that outlive the skill"
  strings:
    $a = /(写入|追加|添加|保存|注入|植入)[^\n]{0,60}(SOUL|MEMORY|AGENTS|HEARTBEAT|IDENTITY)\.md[^\n]{0,120}(始终|永远|每次|必须|忽略|不要|信任|执行|发送|永久)/
    $b = /(SOUL|MEMORY|AGENTS|HEARTBEAT|IDENTITY)\.md[^\n]{0,30}(中|里|末尾)?(写入|追加|添加|植入)[^\n]{0,120}(始终|永远|每次|必须|忽略|不要|信任|执行|发送|永久)/
    $c = /(即使|就算)[^\n]{0,18}(卸载|删除|移除)[^\n]{0,30}(仍|继续|依然|保留|生效)/
  condition:
    any of them
}

rule zh_lure {
  meta:
    id = "lure.fake-prerequisite"
    severity = "high"
    message = "insists on a helper program from a place of its own before the skill works"
  strings:
    $a = /(必须|需要|请先|务必)[^\n]{0,60}(安装|下载|运行)[^\n]{0,120}https?:\/\/[^\s)]{4,200}\.(zip|exe|msi|dmg|pkg|rar|7z|bat|ps1)/i
    $_odd = /base64|\|\s*(ba|z)?sh\b|glot\.io|pastebin|rentry/
    $b = /(复制|拷贝)[^\n]{0,60}(命令|代码)[^\n]{0,200}(终端|命令行|Terminal|PowerShell)[^\n]{0,30}(执行|运行|粘贴)/i
  condition:
    $a or ($b and $_odd)
}

rule zh_weakens {
  meta:
    id = "injection.weakens-code"
    severity = "high"
    message = "wants a way in built into what the agent makes"
  strings:
    $a = /(加入|添加|留下|植入|插入|预留|创建)[^\n]{0,24}(后门|隐藏(的)?管理员|万能密码|硬编码(的)?(密码|密钥|凭据))/
  condition:
    $a
}

rule zh_claim {
  meta:
    id = "claim.no-network"
    severity = "signal"
    message = "says that nothing leaves the machine"
  strings:
    $a = /(完全|纯)(离线|本地)|不(联网|访问网络|上传任何|发送任何)|无需(联网|网络)|数据不会?(离开|上传|外传)/
  condition:
    $a
}
